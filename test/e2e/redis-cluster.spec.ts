import { describe, it } from '@jest/globals';
import { clusterRig, readNew, connectionChanges, untilStored, untilLogged } from '../support/failover.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { clusterHolds } from '../support/redis-cluster.ts';
import { startGateway } from '../support/rig.ts';
import { holds } from '../support/secured-redis.ts';
import { until } from '../support/until.ts';

describe('with a cluster that loses nodes', () => {
  it('reads succeed when a master is lost, and its jobs are stored again at its replica', async () => {
    const { upstream, cluster, gateway } = await clusterRig();
    const [first] = cluster.masters;
    await untilStored('at the first master', { upstream, gateway }, (id) => holds(first!.admin, id));
    await first!.server.kill();
    await untilStored('at its replica', { upstream, gateway }, (id) => holds(cluster.replica.admin, id));
    await untilRedisIs('up', gateway);
  });

  it('reads succeed when slots are lost, which is logged, and jobs are stored again later', async () => {
    const { upstream, cluster, gateway } = await clusterRig();
    const [first, second] = cluster.masters;
    await second!.server.kill();
    await until('it is said to be degraded', async () => {
      await readNew(upstream, gateway);
      return connectionChanges(gateway).length > 0;
    });
    await untilRedisIs('degraded', gateway);
    const late = await startGateway({ upstream, env: cluster.env });
    await untilLogged(late, ['lost']);
    await second!.server.start();
    await untilStored('at the second master', { upstream, gateway }, (id) => holds(second!.admin, id));
    await untilStored('at the first master', { upstream, gateway }, (id) => holds(first!.admin, id));
    for (const each of [gateway, late]) await untilLogged(each, ['lost', 'restored']);
  });

  it('reads succeed when one node hangs, and the other nodes stay in use', async () => {
    const { upstream, cluster, gateway } = await clusterRig();
    const [first, second, third] = cluster.masters;
    // The other nodes would soon report the cluster as down.
    for (const { admin } of cluster.nodes) await admin.config('SET', 'cluster-node-timeout', 600_000);
    second!.server.signal('SIGSTOP');
    for (let read = 0; read < 30; read++) await readNew(upstream, gateway);
    await untilStored('at another master', { upstream, gateway }, (id) => clusterHolds([first!, third!], id));
    await untilRedisIs('up', gateway);
    second!.server.signal('SIGCONT');
    await untilStored('at the second master', { upstream, gateway }, (id) => holds(second!.admin, id));
  });
});
