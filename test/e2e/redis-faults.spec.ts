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

/** Never twice that it is away, or back, without the other between. */
function expectAlternating({ log }: Gateway): void {
  const words = log.flatMap(({ msg }) => /Redis connection (lost|restored)/.exec(msg ?? '')?.[1] ?? []);
  expect(words).toEqual(words.map((_, index) => (index % 2 === 0 ? 'lost' : 'restored')));
}

/** How often the log says that Redis has gone, and that it is back. */
function told({ log }: Gateway): { away: number; back: number } {
  const count = (words: RegExp): number => log.filter(({ msg }) => words.test(msg ?? '')).length;
  return { away: count(/Redis connection lost/), back: count(/Redis connection restored/) };
}

/** The log says so, each once: a busy machine may have it away for a moment more often, but never twice without a return. */
async function untilTold(gateway: Gateway, times: { away: number; back: number }): Promise<void> {
  const isTold = (): boolean => {
    const { away, back } = told(gateway);
    return away >= times.away && away - back === times.away - times.back;
  };
  await until('it is told', isTold);
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

/** Sooner or later a job that is read is in Redis. */
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
    // Each looks for a copy, and again when it could have the lease.
    expect(await errors(gateway, 'get')).toBe(4);
    await untilRedisIs('degraded', gateway);
    await untilTold(gateway, { away: 1, back: 0 });
    // Long enough for several more attempts to connect, which are not told of.
    const since = performance.now();
    await until('a while has passed', () => performance.now() > since + 1000);
    await redis.start();
    await untilRedisIs('up', gateway);
    await untilTold(gateway, { away: 1, back: 1 });
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
      await untilTold(gateway, { away: times, back: times - 1 });
      await redis.start();
      await untilRedisIs('up', gateway);
      await untilTold(gateway, { away: times, back: times });
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
    await untilTold(gateway, { away: 1, back: 0 });
    // One timeout would be 100 ms: a read that meets none is quicker, as soon as the machine is not busy just then.
    await until('a read does not wait for it', async () => (await readNew()).tookMs < 90);
    redis.signal('SIGCONT');
    await untilRedisIs('up', gateway);
    await untilTold(gateway, { away: 1, back: 1 });
    redis.signal('SIGSTOP');
    expect(await gateway.stop()).toBe(0);
  });

  it('starts and reads although it does not answer, logs that once, and uses it once it answers', async () => {
    const { redis, gateway, readNew } = await rig({ redis: 'stopped' });
    expectAll([await readNew(), await readNew()]);
    await untilRedisIs('degraded', gateway);
    await untilTold(gateway, { away: 1, back: 0 });
    redis.signal('SIGCONT');
    await untilRedisIs('up', gateway);
    await untilTold(gateway, { away: 1, back: 1 });
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
    await untilTold(gateway, { away: 1, back: 0 });
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
