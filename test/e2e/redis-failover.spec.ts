import { describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { Connections } from '../support/connections.ts';
import type { Gateway } from '../support/gateway.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { readJob } from '../support/reads.ts';
import { clusterHolds, RedisCluster } from '../support/redis-cluster.ts';
import { SentinelSet } from '../support/redis-sentinel.ts';
import { lookAt, inMemory, type RedisServer } from '../support/redis.ts';
import { atEnd, startDouble, startGateway, startRedis, temporaryFolder } from '../support/rig.ts';
import { holds } from '../support/secured-redis.ts';
import type { ITwinDouble } from '../simulator/itwin-double.ts';
import { until } from '../support/until.ts';

/** Reads a new job and says which. How long that takes is measured by test/faults. */
async function readNew(double: ITwinDouble, gateway: Gateway): Promise<string> {
  const { id } = double.addJob();
  expect((await readJob(gateway, id)).status).toBe(200);
  return id;
}

/** New jobs are read until one of them is found to be stored. */
async function untilStored(
  what: string,
  { double, gateway }: { double: ITwinDouble; gateway: Gateway },
  isStored: (jobId: string) => Promise<boolean>,
): Promise<void> {
  const ids: string[] = [];
  const found = async (): Promise<boolean> => {
    ids.push(await readNew(double, gateway));
    const stored = await Promise.all(ids.slice(-10).map(isStored));
    return stored.includes(true);
  };
  await until(what, found);
}

function look(server: RedisServer): Redis {
  const redis = lookAt({ port: server.port });
  atEnd(async () => redis.disconnect());
  return redis;
}

/** A replica puts its copy into its folder. */
const inFolder = (port: number): string[] => [...inMemory(port), '--dir', temporaryFolder()];

function told({ log }: Gateway): string[] {
  return log.flatMap(({ msg }) => /redis is (away|back)/.exec(msg ?? '')?.[1] ?? []);
}

/** The log says so, and no more than that. */
async function untilTold(gateway: Gateway, words: readonly string[]): Promise<void> {
  await until(`the log says ${words.join(', ')}`, () => told(gateway).length >= words.length);
  expect(told(gateway)).toEqual(words);
}

const isMaster = async (eyes: Redis): Promise<boolean> => /role:master/.test(await eyes.info('replication'));

describe('with one address that is moved to another server', () => {
  it('a master that has become a replica is left for the new one, although it keeps its connections', async () => {
    const [double, first, second] = [
      await startDouble(),
      await startRedis(inFolder),
      await startRedis(inFolder),
    ];
    const moving = await Connections.start(first.url);
    atEnd(() => moving.stop());
    const gateway = await startGateway({ double, env: { REDIS_URL: moving.url.replace('http', 'redis') } });
    const [before, after] = [look(first), look(second)];
    await untilStored('at the first master', { double, gateway }, (id) => holds(before, id));
    moving.port = second.port;
    await before.replicaof('127.0.0.1', second.port);
    await untilStored('at the new master', { double, gateway }, (id) => holds(after, id));
    // The client and its listener, each at one server and then at the other.
    expect(moving.count).toBe(4);
  });
});

describe('with Sentinel', () => {
  async function rig() {
    const [double, set] = [await startDouble(), await SentinelSet.start()];
    const gateway = await startGateway({ double, env: set.env });
    await untilRedisIs('up', gateway);
    return { double, set, gateway };
  }

  it('reads go on when the master is lost, and jobs are stored again at the new one', async () => {
    const { double, set, gateway } = await rig();
    const [before, after] = [set.secured.look(set.master), set.secured.look(set.replica)];
    await untilStored('at the first master', { double, gateway }, (id) => holds(before, id));
    await set.master.kill();
    await untilStored('at the new master', { double, gateway }, async (id) => {
      return (await isMaster(after)) && (await holds(after, id));
    });
    await untilRedisIs('up', gateway);
    await untilTold(gateway, ['away', 'back']);
  });

  it('reads go on when the master hangs, and jobs are stored again at the new one', async () => {
    const { double, set, gateway } = await rig();
    const after = set.secured.look(set.replica);
    set.master.signal('SIGSTOP');
    await untilStored('at the new master', { double, gateway }, async (id) => {
      return (await isMaster(after)) && (await holds(after, id));
    });
    await untilTold(gateway, ['away', 'back']);
  });

  it('starts and reads while no sentinel answers, and finds the master when one does', async () => {
    const [double, set] = [await startDouble(), await SentinelSet.start()];
    for (const sentinel of set.sentinels) sentinel.signal('SIGSTOP');
    const gateway = await startGateway({ double, env: set.env });
    await readNew(double, gateway);
    await untilRedisIs('degraded', gateway);
    set.sentinels[2]!.signal('SIGCONT');
    await untilRedisIs('up', gateway);
  });
});

describe('with a cluster', () => {
  async function rig() {
    const [double, cluster] = [await startDouble(), await RedisCluster.start()];
    const gateway = await startGateway({ double, env: cluster.env });
    await untilRedisIs('up', gateway);
    return { double, cluster, gateway };
  }

  it('reads go on when a master is lost, and its jobs are stored again at its replica', async () => {
    const { double, cluster, gateway } = await rig();
    const [first] = cluster.masters;
    await untilStored('at the first master', { double, gateway }, (id) => holds(first!.eyes, id));
    await first!.server.kill();
    await untilStored('at its replica', { double, gateway }, (id) => holds(cluster.replica.eyes, id));
    await untilRedisIs('up', gateway);
  });

  it('reads go on when slots are lost, which is said, and jobs are stored again when they are back', async () => {
    const { double, cluster, gateway } = await rig();
    const [first, second] = cluster.masters;
    await second!.server.kill();
    await until('it is said to be degraded', async () => {
      await readNew(double, gateway);
      return told(gateway).length > 0;
    });
    await untilRedisIs('degraded', gateway);
    const late = await startGateway({ double, env: cluster.env });
    await untilTold(late, ['away']);
    await second!.server.start();
    await untilStored('at the second master', { double, gateway }, (id) => holds(second!.eyes, id));
    await untilStored('at the first master', { double, gateway }, (id) => holds(first!.eyes, id));
    for (const each of [gateway, late]) await untilTold(each, ['away', 'back']);
  });

  it('reads go on when one node hangs: its slots are given up, the other nodes are not', async () => {
    const { double, cluster, gateway } = await rig();
    const [first, second, third] = cluster.masters;
    second!.server.signal('SIGSTOP');
    for (let read = 0; read < 10; read++) await readNew(double, gateway);
    // One timeout would be 100 ms, and a third of the jobs are that node's.
    await until('reads wait for it no longer', async () => {
      for (let read = 0; read < 20; read++) {
        if ((await readJob(gateway, double.addJob().id)).tookMs >= 90) return false;
      }
      return true;
    });
    await untilStored('at another master', { double, gateway }, (id) => clusterHolds([first!, third!], id));
    expect(told(gateway)).toEqual([]);
    second!.server.signal('SIGCONT');
    await untilStored('at the second master', { double, gateway }, (id) => holds(second!.eyes, id));
  });

  it('reads go on when all nodes are gone, which an idle gateway notices, and jobs are stored again after', async () => {
    const { double, cluster, gateway } = await rig();
    await Promise.all(cluster.nodes.map(({ server }) => server.kill()));
    await untilRedisIs('degraded', gateway);
    await readNew(double, gateway);
    await untilTold(gateway, ['away']);
    await Promise.all(cluster.nodes.map(({ server }) => server.start()));
    for (const { eyes } of cluster.masters) {
      await untilStored('at every master', { double, gateway }, (id) => holds(eyes, id));
    }
    await untilTold(gateway, ['away', 'back']);
  });

  it('starts and reads while all nodes hang, says so once, and ends without waiting for them', async () => {
    const [double, cluster] = [await startDouble(), await RedisCluster.start()];
    for (const { server } of cluster.nodes) server.signal('SIGSTOP');
    const gateway = await startGateway({ double, env: cluster.env });
    for (let read = 0; read < 3; read++) await readNew(double, gateway);
    await untilRedisIs('degraded', gateway);
    await untilTold(gateway, ['away']);
    for (const { server } of cluster.nodes) server.signal('SIGCONT');
    await untilRedisIs('up', gateway);
    await untilTold(gateway, ['away', 'back']);
    for (const { server } of cluster.nodes) server.signal('SIGSTOP');
    expect(await gateway.stop()).toBe(0);
  });
});
