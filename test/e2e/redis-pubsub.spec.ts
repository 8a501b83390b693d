import { describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { cacheStatus } from '../support/cache-status.ts';
import type { Gateway } from '../support/gateway.ts';
import { monitorCommands } from '../support/monitor.ts';
import { redisDetails, untilRedisIs } from '../support/readiness.ts';
import { jobIds, metric, readJob } from '../support/reads.ts';
import { connectTo, type RedisServer } from '../support/redis.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { until } from '../support/until.ts';

const JOBS = 8;

/** Two replicas with one Redis, in which unfinished copies stay fresh for the whole test. */
async function rig() {
  const [upstream, redis] = [await startUpstream({ unknownJobs: 'make' }), await startRedis()];
  const admin = connectTo({ port: redis.port });
  atEnd(async () => admin.disconnect());
  const env = { REDIS_URL: redis.url, ACTIVE_FRESH: '5m' };
  const replicas = [await startGateway({ upstream, env }), await startGateway({ upstream, env })] as const;
  await Promise.all(replicas.map((gateway) => untilRedisIs('up', gateway)));
  return { upstream, redis, admin, replicas, one: replicas[0], other: replicas[1] };
}

type Rig = Awaited<ReturnType<typeof rig>>;

/** Jobs that both replicas hold as active in memory. */
async function heldAsActive({ upstream, replicas }: Rig): Promise<string[]> {
  const ids = jobIds(JOBS);
  for (const id of ids) upstream.addJob({ id, state: 'active' });
  for (const gateway of replicas) await Promise.all(ids.map((id) => readJob(gateway, id)));
  return ids;
}

/** Finishes the job, reads it from one replica, then at once from the other. */
async function seenAtOther(
  { upstream, one, other }: Rig,
  id: string,
): Promise<[first: string, then: string]> {
  upstream.setState(id, 'success');
  const first = await readJob(one, id, { headers: { 'cache-control': 'no-cache' } });
  return [stateIn(first.body), stateIn((await readJob(other, id)).body)];
}

function stateIn(body: Buffer): string {
  return (JSON.parse(body.toString()) as { job: { state: string } }).job.state;
}

function linesOf({ log }: Gateway, words: string): number {
  return log.filter(({ msg }) => msg?.startsWith(words)).length;
}

/** Faults in which only pub/sub fails: reason, cause, and restoration. */
const PUBSUB_FAULTS: [
  what: string,
  reason: unknown,
  breakPubSub: (admin: Redis) => Promise<() => Promise<unknown>>,
][] = [
  [
    'forbidden',
    'NOPERM',
    async (admin) => {
      await admin.call('ACL', 'SETUSER', 'default', 'resetchannels');
      return () => admin.call('ACL', 'SETUSER', 'default', 'allchannels');
    },
  ],
  [
    'short of connections',
    // Redis refuses and closes together: either can be noticed first.
    expect.any(String),
    async (admin) => {
      const clients = String(await admin.client('LIST'))
        .split('\n')
        .filter(Boolean);
      const subscribers = clients.filter((line) => / sub=[1-9]/.test(line));
      await admin.config('SET', 'maxclients', clients.length - subscribers.length);
      await admin.client('KILL', 'TYPE', 'PUBSUB');
      return () => admin.config('SET', 'maxclients', 1000);
    },
  ],
];

describe('a job that one replica has shown as finished', () => {
  it('is never shown unfinished by another, however often pub/sub connections are lost', async () => {
    const started = await rig();
    const states: string[][] = [];
    for (const id of await heldAsActive(started)) {
      await started.admin.client('KILL', 'TYPE', 'PUBSUB');
      states.push(await seenAtOther(started, id));
    }
    expect(states).toEqual(states.map(() => ['success', 'success']));
  });

  it.each(PUBSUB_FAULTS)(
    'is never shown unfinished by another while pub/sub is %s',
    async (_, reason, breakPubSub) => {
      const started = await rig();
      const { redis, admin, upstream, one, other, replicas } = started;
      const ids = await heldAsActive(started);
      const [missed, asked] = jobIds(2) as [string, string];
      upstream.addJob({ id: missed, state: 'active' });
      await readJob(other, missed);

      const claims = await commandsOf(redis, 'eval', 3, `lease:${asked}`);
      const restore = await breakPubSub(admin);
      const states = [];
      for (const id of ids) states.push(await seenAtOther(started, id));
      expect(states).toEqual(ids.map(() => ['success', 'success']));

      for (const gateway of replicas) {
        await untilRedisIs('degraded', gateway);
        expect(await redisDetails(gateway)).toMatchObject({ state: 'ready', pubsub: 'away' });
        await gateway.logged((line) => line.msg?.startsWith('Redis pub/sub lost') === true);
        expect(
          await metric(gateway, 'gateway_store_errors_total', { operation: 'subscribe' }),
        ).toBeGreaterThan(0);
      }
      // A read that waits for another replica checks Redis itself, long before the lease would end.
      upstream.fault({ kind: 'hold' });
      const first = readJob(one, asked);
      await upstream.arrived(1 + upstream.count);
      const second = readJob(other, asked);
      await until('both have claimed it, one of them several times', () => claims() >= 4);
      upstream.clearFaults();
      expect(cacheStatus((await Promise.all([second, first]))[0])).toMatchObject({ collapsed: true });

      // It finishes while messages are lost, and is not read until they arrive again.
      upstream.setState(missed, 'success');
      await readJob(one, missed, { headers: { 'cache-control': 'no-cache' } });
      await restore();
      for (const gateway of replicas) {
        await untilRedisIs('up', gateway);
        expect(await redisDetails(gateway)).toMatchObject({ pubsub: 'up' });
        await gateway.logged((line) => line.msg === 'Redis pub/sub restored');
        expect(linesOf(gateway, 'Redis pub/sub lost')).toBe(1);
        expect(gateway.log.find(({ msg }) => msg?.startsWith('Redis pub/sub lost'))).toMatchObject({
          reason,
        });
      }
      expect(stateIn((await readJob(other, missed)).body)).toBe('success');
    },
  );
});

describe('a copy of an unfinished job', () => {
  it('is checked in Redis once after messages may have been missed, then served from memory again', async () => {
    const started = await rig();
    const { redis, admin, other } = started;
    const [id] = (await heldAsActive(started)) as [string];
    await admin.client('KILL', 'TYPE', 'PUBSUB');
    await until('both listen again', async () =>
      String(await admin.call('PUBSUB', 'NUMSUB', await channel(admin))).endsWith('2'),
    );
    await untilRedisIs('up', other);
    const looks = await commandsOf(redis, 'get', 1, `job:${id}`);
    for (let read = 0; read < 5; read++) expect((await readJob(other, id)).status).toBe(200);
    await until('the look has come in', () => looks() > 0);
    expect(looks()).toBe(1);
    expect(cacheStatus(await readJob(other, id))['detail']).toBe('token:memory');
  });
});

async function channel(admin: Redis): Promise<string> {
  const [name] = (await admin.call('PUBSUB', 'CHANNELS')) as [string];
  return name;
}

/** Counts commands with this name and an argument with this suffix. */
async function commandsOf(redis: RedisServer, name: string, at: number, end: string): Promise<() => number> {
  let count = 0;
  await monitorCommands(redis, (args) => {
    if (args[0] === name && args[at]?.endsWith(end)) count++;
  });
  return () => count;
}
