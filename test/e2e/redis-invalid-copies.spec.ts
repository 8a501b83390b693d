import { describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { cacheStatus } from '../support/cache-status.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { metric, readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { connectTo } from '../support/redis.ts';
import { until } from '../support/until.ts';

type Spoil = (redis: Redis, key: string, good: Buffer) => Promise<unknown>;

const put =
  (spoilt: (good: Buffer) => Buffer | string): Spoil =>
  (redis, key, good) =>
    redis.set(key, spoilt(good), 'PX', 60_000);

function withLifetime(good: Buffer, lifetimeMs: number): string {
  return good.toString().replace(/"lifetimeMs":[^}]*/, `"lifetimeMs":${lifetimeMs}`);
}

const COUNTED: Readonly<Record<string, Spoil>> = {
  'bytes of somebody else': put(() => 'hello'),
  'no bytes': put(() => ''),
  zeros: put(() => Buffer.alloc(100_000)),
  'a truncated value': put((good) => good.subarray(0, good.length - 20)),
  'a head alone': put((good) => good.subarray(0, good.indexOf('\n') + 1)),
  'a changed letter': put((good) => Buffer.from(good.toString().replace('"success"', '"Success"'))),
  'a head of another form': put((good) => Buffer.concat([Buffer.from('{"kind":"job"}\n'), good])),
  'a life that has not begun': put((good) => withLifetime(good, 1000)),
  'a life below nothing': put((good) => withLifetime(good, -1)),
  'a life without end': put((good) => withLifetime(good, 1e300)),
  'a value that never expires': (redis, key) => redis.persist(key),
};

/** Values of another type: each read fails until they are replaced. */
const OF_ANOTHER_TYPE: Readonly<Record<string, Spoil>> = {
  'a list': async (redis, key) => {
    await redis.del(key);
    await redis.rpush(key, 'one', 'two');
  },
  'a hash': async (redis, key) => {
    await redis.del(key);
    await redis.hset(key, { kind: 'job' });
  },
};

describe('an invalid value under the key of a job', () => {
  it('is a miss and a counted fault, and is replaced', async () => {
    const [upstream, redis] = [await startUpstream(), await startRedis()];
    const eyes = connectTo({ port: redis.port });
    atEnd(async () => eyes.disconnect());
    const env = { REDIS_URL: redis.url };
    const all = { ...COUNTED, ...OF_ANOTHER_TYPE };
    const spoils = Object.values(all);
    const jobs = spoils.map(() => upstream.addJob());
    const [writer, reader] = await Promise.all([
      startGateway({ upstream, env }),
      startGateway({ upstream, env }),
    ]);
    await Promise.all([untilRedisIs('up', writer), untilRedisIs('up', reader)]);
    await Promise.all(jobs.map(({ id }) => readJob(writer, id)));
    await until('all are stored', async () => (await eyes.keys('*:job:*')).length === jobs.length);
    const keys = await Promise.all(jobs.map(async ({ id }) => (await eyes.keys(`*job:${id}`))[0]!));
    const good = await Promise.all(keys.map(async (key) => (await eyes.getBuffer(key))!));
    await Promise.all(spoils.map((spoil, index) => spoil(eyes, keys[index]!, good[index]!)));

    upstream.clear();
    const seen = await Promise.all(jobs.map(({ id }) => readJob(reader, id)));
    expect(seen.map(({ status }) => status)).toEqual(jobs.map(() => 200));
    expect(seen.every(({ body }, index) => body.equals(upstream.bodyOf(jobs[index]!.id)))).toBe(true);
    expect(seen.map((answer) => cacheStatus(answer)['fwd'])).toEqual(jobs.map(() => 'token:miss'));
    expect(upstream.count).toBe(jobs.length);
    // A busy machine may cause further faults.
    const faults = (operation: string) => metric(reader, 'gateway_store_errors_total', { operation });
    expect(await faults('decode')).toBe(Object.keys(COUNTED).length);
    // Each is read twice: once for the copy, and again with the lease.
    expect(await faults('get')).toBeGreaterThanOrEqual(2 * Object.keys(OF_ANOTHER_TYPE).length);
    await reader.logged(({ msg }) => msg?.includes('invalid value in Redis') === true);
    const lines = reader.log.filter(({ msg }) => msg?.includes('invalid value in Redis'));
    expect(lines.map(({ what }) => what)).toEqual(['copy']);
    for (const [index, key] of keys.entries()) {
      await until(`${Object.keys(all)[index]} is replaced`, async () => {
        const value = await eyes.getBuffer(key).catch(() => null);
        return value !== null && value.subarray(value.indexOf('\n') + 1).equals(seen[index]!.body);
      });
      expect(await eyes.pttl(key)).toBeGreaterThan(0);
    }
  });
});
