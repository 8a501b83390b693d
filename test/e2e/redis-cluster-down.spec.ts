import { describe, expect, it } from '@jest/globals';
import { clusterRig, readNew, untilStored, untilLogged } from '../support/failover.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { startUpstream, startGateway } from '../support/rig.ts';
import { holds } from '../support/secured-redis.ts';

describe('with an unavailable cluster', () => {
  it('reads succeed when all nodes are lost, which an idle gateway notices, and jobs are stored again later', async () => {
    const { upstream, cluster, gateway } = await clusterRig();
    await Promise.all(cluster.nodes.map(({ server }) => server.kill()));
    await untilRedisIs('degraded', gateway);
    await readNew(upstream, gateway);
    await untilLogged(gateway, ['lost']);
    await Promise.all(cluster.nodes.map(({ server }) => server.start()));
    for (const { admin } of cluster.masters) {
      await untilStored('at every master', { upstream, gateway }, (id) => holds(admin, id));
    }
    await untilLogged(gateway, ['lost', 'restored']);
  });

  it('starts and reads while all nodes hang, logs that once, and ends without waiting for them', async () => {
    const [upstream, cluster] = [await startUpstream(), await RedisCluster.start()];
    for (const { server } of cluster.nodes) server.signal('SIGSTOP');
    const gateway = await startGateway({ upstream, env: cluster.env });
    for (let read = 0; read < 3; read++) await readNew(upstream, gateway);
    await untilRedisIs('degraded', gateway);
    await untilLogged(gateway, ['lost']);
    for (const { server } of cluster.nodes) server.signal('SIGCONT');
    await untilRedisIs('up', gateway);
    await untilLogged(gateway, ['lost', 'restored']);
    for (const { server } of cluster.nodes) server.signal('SIGSTOP');
    expect(await gateway.stop()).toBe(0);
  });
});
