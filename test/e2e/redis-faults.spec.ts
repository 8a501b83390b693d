import { describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { cacheStatus } from '../support/cache-status.ts';
import type { Gateway } from '../support/gateway.ts';
import { readiness, untilRedisIs } from '../support/readiness.ts';
import { jobIds, metric, readJob, type Seen } from '../support/reads.ts';
import { connectTo, type RedisServer } from '../support/redis.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { until } from '../support/until.ts';

function look(server: RedisServer): Redis {
  const redis = connectTo({ port: server.port });
  atEnd(async () => redis.disconnect());
  return redis;
}

/** Expects losses and returns to alternate in the log. */
function expectAlternating({ log }: Gateway): void {
  const words = log.flatMap(({ msg }) => /Redis connection (lost|restored)/.exec(msg ?? '')?.[1] ?? []);
  expect(words).toEqual(words.map((_, index) => (index % 2 === 0 ? 'lost' : 'restored')));
}

/** Numbers of losses and returns in the log. */
function changes({ log }: Gateway): { lost: number; restored: number } {
  const count = (words: RegExp): number => log.filter(({ msg }) => words.test(msg ?? '')).length;
  return { lost: count(/Redis connection lost/), restored: count(/Redis connection restored/) };
}

/** Waits for these log lines, which must alternate: a busy machine may lose and restore the connection more often. */
async function untilLogged(gateway: Gateway, times: { lost: number; restored: number }): Promise<void> {
  const isLogged = (): boolean => {
    const { lost, restored } = changes(gateway);
    return lost >= times.lost && lost - restored === times.lost - times.restored;
  };
  await until('it is logged', isLogged);
  expectAlternating(gateway);
}

const errors = (gateway: Gateway, operation?: string): Promise<number> =>
  metric(gateway, 'gateway_store_errors_total', operation === undefined ? {} : { operation });

function expectAll(seen: readonly Seen[]): void {
  expect(seen.map(({ status }) => status)).toEqual(seen.map(() => 200));
}

async function rig(start: { redis: 'running' | 'killed' | 'stopped' } = { redis: 'running' }) {
  const [upstream, redis] = [await startUpstream({ unknownJobs: 'make' }), await startRedis()];
  if (start.redis === 'killed') await redis.kill();
  if (start.redis === 'stopped') redis.signal('SIGSTOP');
  const gateway = await startGateway({ upstream, env: { REDIS_URL: redis.url } });
  if (start.redis === 'running') await untilRedisIs('up', gateway);
  const readNew = (): Promise<Seen> => readJob(gateway, jobIds(1)[0]!);
  return { upstream, redis, gateway, readNew };
}

/** Reads jobs until one of them is stored in Redis. */
async function expectSharedAgain(redis: RedisServer, gateway: Gateway): Promise<void> {
  const admin = look(redis);
  await until('a job that is read is stored', async () => {
    const [id] = jobIds(1);
    expect((await readJob(gateway, id!)).status).toBe(200);
    return (await admin.keys(`*job:${id}`)).length === 1;
  });
}

describe('without Redis', () => {
  it('starts and reads while Redis is unreachable, logs that once, and uses it later', async () => {
    const { redis, gateway, readNew } = await rig({ redis: 'killed' });
    expectAll([await readNew(), await readNew()]);
    // Each read looks for a copy, and again with the claim of the lease.
    expect(await errors(gateway, 'get')).toBe(4);
    await untilRedisIs('degraded', gateway);
    await untilLogged(gateway, { lost: 1, restored: 0 });
    // Long enough for several attempts to connect, which must not be logged.
    const since = performance.now();
    await until('a while has passed', () => performance.now() > since + 1000);
    await redis.start();
    await untilRedisIs('up', gateway);
    await untilLogged(gateway, { lost: 1, restored: 1 });
    await expectSharedAgain(redis, gateway);
  });

  it('reads succeed whenever Redis dies, with one log line for each loss and return', async () => {
    const { upstream, redis, gateway, readNew } = await rig();
    const { id } = upstream.addJob();
    await readJob(gateway, id);
    for (const times of [1, 2]) {
      await expectSharedAgain(redis, gateway);
      const counted = await errors(gateway);
      await redis.kill();
      await untilRedisIs('degraded', gateway);
      expectAll(await Promise.all([readNew(), readNew(), readNew()]));
      expect(await errors(gateway)).toBeGreaterThanOrEqual(counted + 3);
      expect(cacheStatus(await readJob(gateway, id))).toMatchObject({ hit: true, detail: 'token:memory' });
      await untilLogged(gateway, { lost: times, restored: times - 1 });
      await redis.start();
      await untilRedisIs('up', gateway);
      await untilLogged(gateway, { lost: times, restored: times });
    }
    await expectSharedAgain(redis, gateway);
  });
});

describe('with a Redis that hangs', () => {
  it('bounds each read, counts faults, and recovers by itself', async () => {
    const { redis, gateway, readNew } = await rig();
    await readNew();
    redis.signal('SIGSTOP');
    expectAll([await readNew(), await readNew()]);
    expectAll(await Promise.all(Array.from({ length: 20 }, readNew)));
    expect(await errors(gateway, 'get')).toBeGreaterThanOrEqual(22);
    expect((await readiness(gateway)).status).toBe(200);
    redis.signal('SIGCONT');
    await untilRedisIs('up', gateway);
    await expectSharedAgain(redis, gateway);
  });

  it('disconnects after consecutive timeouts: neither reads nor the end wait for it', async () => {
    const { redis, gateway, readNew } = await rig();
    redis.signal('SIGSTOP');
    for (let read = 0; read < 10; read++) await readNew();
    await untilRedisIs('degraded', gateway);
    await untilLogged(gateway, { lost: 1, restored: 0 });
    // A timeout takes 100 ms: reads without one are faster, unless the machine is busy.
    await until('a read does not wait for it', async () => (await readNew()).tookMs < 90);
    redis.signal('SIGCONT');
    await untilRedisIs('up', gateway);
    await untilLogged(gateway, { lost: 1, restored: 1 });
    redis.signal('SIGSTOP');
    expect(await gateway.stop()).toBe(0);
  });

  it('starts and reads although it does not answer, logs that once, and uses it once it answers', async () => {
    const { redis, gateway, readNew } = await rig({ redis: 'stopped' });
    expectAll([await readNew(), await readNew()]);
    await untilRedisIs('degraded', gateway);
    await untilLogged(gateway, { lost: 1, restored: 0 });
    redis.signal('SIGCONT');
    await untilRedisIs('up', gateway);
    await untilLogged(gateway, { lost: 1, restored: 1 });
    await expectSharedAgain(redis, gateway);
  });
});

describe('with a Redis that returns errors', () => {
  it('reads succeed with a wrong password, which is never logged', async () => {
    const [upstream, redis] = [await startUpstream(), await startRedis()];
    await look(redis).config('SET', 'requirepass', 'the-right-one');
    const url = redis.url.replace('//', '//:the-wrong-one@');
    const gateway = await startGateway({ upstream, env: { REDIS_URL: url } });
    expectAll([await readJob(gateway, upstream.addJob().id)]);
    await untilRedisIs('degraded', gateway);
    await untilLogged(gateway, { lost: 1, restored: 0 });
    expect(gateway.output).not.toContain('the-wrong-one');
  });

  it('reads succeed when nothing can be stored, which is counted, and flushed jobs are stored again', async () => {
    const { upstream, redis, gateway, readNew } = await rig();
    const admin = look(redis);
    await admin.config('SET', 'maxmemory', '1');
    expectAll([await readNew(), await readNew()]);
    await until('both are counted', async () => (await errors(gateway, 'set')) >= 2);
    await admin.config('SET', 'maxmemory', '0');

    const { id } = upstream.addJob();
    await readJob(gateway, id);
    await admin.flushall();
    const replica = await startGateway({ upstream, env: { REDIS_URL: redis.url } });
    await untilRedisIs('up', replica);
    expect(cacheStatus(await readJob(replica, id))).toMatchObject({ fwd: 'token:miss' });
    await until('it is stored', async () => (await admin.keys(`*job:${id}`)).length === 1);
    expect(upstream.callsFor(id)).toHaveLength(2);
    await until('a read fails at nothing', async () => {
      const before = await errors(replica);
      expect((await readJob(replica, upstream.addJob().id)).status).toBe(200);
      return (await errors(replica)) === before;
    });
  });
});
