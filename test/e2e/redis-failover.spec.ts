import { describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { Connections } from '../support/connections.ts';
import { readNew, untilStored, untilLogged } from '../support/failover.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { SentinelSet } from '../support/redis-sentinel.ts';
import { inMemory, connectTo, type RedisServer } from '../support/redis.ts';
import { atEnd, startUpstream, startGateway, startRedis, temporaryFolder } from '../support/rig.ts';
import { holds } from '../support/secured-redis.ts';

function look(server: RedisServer): Redis {
  const redis = connectTo({ port: server.port });
  atEnd(async () => redis.disconnect());
  return redis;
}

/** Arguments of a replica, which stores its copy in its folder. */
const inFolder = (port: number): string[] => [...inMemory(port), '--dir', temporaryFolder()];

const isMaster = async (admin: Redis): Promise<boolean> =>
  /role:master/.test(await admin.info('replication'));

describe('with an address that moves to another server', () => {
  it('a demoted master is left for the new one, although it keeps its connections', async () => {
    const [upstream, first, second] = [
      await startUpstream(),
      await startRedis(inFolder),
      await startRedis(inFolder),
    ];
    const moving = await Connections.start(first.url);
    atEnd(() => moving.stop());
    const gateway = await startGateway({ upstream, env: { REDIS_URL: moving.url.replace('http', 'redis') } });
    const [before, after] = [look(first), look(second)];
    await untilStored('at the first master', { upstream, gateway }, (id) => holds(before, id));
    moving.port = second.port;
    await before.replicaof('127.0.0.1', second.port);
    await untilStored('at the new master', { upstream, gateway }, (id) => holds(after, id));
    // Client and subscriber, each first at one server and then at the other.
    expect(moving.count).toBeGreaterThanOrEqual(4);
  });
});

describe('with Sentinel', () => {
  async function rig() {
    const [upstream, set] = [await startUpstream(), await SentinelSet.start()];
    const gateway = await startGateway({ upstream, env: set.env });
    await untilRedisIs('up', gateway);
    return { upstream, set, gateway };
  }

  it('reads succeed when the master is lost, and jobs are stored again at the new one', async () => {
    const { upstream, set, gateway } = await rig();
    const [before, after] = [set.secured.look(set.master), set.secured.look(set.replica)];
    await untilStored('at the first master', { upstream, gateway }, (id) => holds(before, id));
    await set.master.kill();
    await untilStored('at the new master', { upstream, gateway }, async (id) => {
      return (await isMaster(after)) && (await holds(after, id));
    });
    await untilRedisIs('up', gateway);
    await untilLogged(gateway, ['lost', 'restored']);
  });

  it('reads succeed when the master hangs, and jobs are stored again at the new one', async () => {
    const { upstream, set, gateway } = await rig();
    const after = set.secured.look(set.replica);
    set.master.signal('SIGSTOP');
    await untilStored('at the new master', { upstream, gateway }, async (id) => {
      return (await isMaster(after)) && (await holds(after, id));
    });
    await untilLogged(gateway, ['lost', 'restored']);
  });

  it('starts and reads while no sentinel answers, and finds the master later', async () => {
    const [upstream, set] = [await startUpstream(), await SentinelSet.start()];
    for (const sentinel of set.sentinels) sentinel.signal('SIGSTOP');
    const gateway = await startGateway({ upstream, env: set.env });
    await readNew(upstream, gateway);
    await untilRedisIs('degraded', gateway);
    set.sentinels[2]!.signal('SIGCONT');
    await untilRedisIs('up', gateway);
  });
});
