import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { cacheStatus } from '../support/cache-status.ts';
import { Gateway } from '../support/gateway.ts';
import { connectTo, RedisServer } from '../support/redis.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { errorOf, readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';

const HOUR_MS = 3_600_000;

/** Two replicas with one Redis, shared by the tests; the test's own connection to it. */
const rig = {} as { upstream: FakeUpstream; redis: RedisServer; admin: Redis; one: Gateway; other: Gateway };
let env: Record<string, string>;
const LIVES = { TERMINAL_TTL: '2h', ACTIVE_FRESH: '2s', ACTIVE_STALE: '2s', NEGATIVE_TTL: '2s' };

beforeAll(async () => {
  rig.upstream = await FakeUpstream.start();
  rig.redis = await RedisServer.start();
  rig.admin = connectTo({ port: rig.redis.port });
  env = { REDIS_URL: rig.redis.url, ...LIVES };
  const { upstream } = rig;
  [rig.one, rig.other] = await Promise.all([
    Gateway.start({ upstream, env }),
    Gateway.start({ upstream, env }),
  ]);
  await Promise.all([untilRedisIs('up', rig.one), untilRedisIs('up', rig.other)]);
});

beforeEach(async () => {
  await rig.admin.flushall();
  rig.upstream.clear();
});

afterAll(async () => {
  await Promise.all([rig.one.stop(), rig.other.stop()]);
  rig.admin.disconnect();
  await rig.redis.kill();
  await rig.upstream.stop();
});

/** Key of a job's copy. */
async function keyOf(jobId: string): Promise<string> {
  await until('the job is stored', async () => (await rig.admin.keys(`*job:${jobId}`)).length === 1);
  return (await rig.admin.keys(`*job:${jobId}`))[0]!;
}

/** The whole value of a key of any type. */
async function contentOf(admin: Redis, key: string): Promise<string> {
  switch (await admin.type(key)) {
    case 'hash':
      return JSON.stringify(await admin.hgetall(key));
    case 'zset':
      return (await admin.zrange(key, '0', '-1')).join();
    case 'string':
      return (await admin.getBuffer(key))!.toString('latin1');
    default:
      return '';
  }
}

describe('the shared store', () => {
  it('serves a finished job after a restart without an upstream call, with its age', async () => {
    const { upstream, one: before } = rig;
    const { id } = upstream.addJob();
    const sentAt = performance.now();
    const first = await readJob(before, id);
    const answeredAt = performance.now();
    expect(await before.stop()).toBe(0);

    const after = await Gateway.start({ upstream, env });
    await until('a second has passed', () => performance.now() > answeredAt + 1100);
    const youngest = Math.floor((performance.now() - answeredAt) / 1000);
    const second = await readJob(after, id);
    rig.one = after;
    const oldest = Math.floor((performance.now() - sentAt) / 1000);
    expect(second.status).toBe(200);
    expect(second.body.equals(first.body)).toBe(true);
    expect(second.headers['etag']).toBe(first.headers['etag']);
    expect(second.headers['content-type']).toBe(first.headers['content-type']);
    expect(cacheStatus(second)).toEqual({
      name: 'itwin-jobs-gateway',
      hit: true,
      ttl: 3600,
      detail: 'token:redis',
    });
    const age = Number(second.headers['age']);
    expect(age).toBeGreaterThanOrEqual(youngest);
    expect(age).toBeLessThanOrEqual(oldest);
    expect(second.headers['cache-control']).toBe(`private, max-age=${age + 3600}`);
    expect(upstream.count).toBe(1);
  });

  it('serves a job read by another replica, which then is in memory', async () => {
    const { upstream, one, other } = rig;
    const { id } = upstream.addJob();
    await readJob(one, id);
    await keyOf(id);
    const seen = [await readJob(other, id.toUpperCase()), await readJob(other, id)];
    expect(seen.map((answer) => cacheStatus(answer)['detail'])).toEqual(['token:redis', 'token:memory']);
    expect(seen.every(({ body }) => body.equals(upstream.bodyOf(id)))).toBe(true);
    expect(upstream.count).toBe(1);
  });

  it('shares an unfinished job for ACTIVE_FRESH and an unknown one for NEGATIVE_TTL', async () => {
    const { upstream, one, other, admin } = rig;
    const { id } = upstream.addJob({ state: 'active' });
    const unknown = randomUUID();
    await Promise.all([readJob(one, id), readJob(one, unknown)]);
    for (const jobId of [id, unknown]) expect(await admin.pttl(await keyOf(jobId))).toBeLessThanOrEqual(2000);

    const [active, missing] = [await readJob(other, id), await readJob(other, unknown)];
    expect(cacheStatus(active)).toMatchObject({ hit: true, detail: 'token:redis' });
    expect([missing.status, errorOf(missing).code]).toEqual([404, 'JobNotFound']);
    expect(upstream.count).toBe(2);

    upstream.setState(id, 'success');
    upstream.addJob({ id: unknown });
    for (const jobId of [id, unknown]) {
      await until('it is read again', async () => {
        await readJob(other, jobId);
        return upstream.callsFor(jobId).length === 2;
      });
    }
    expect((await readJob(other, id)).body.equals(upstream.bodyOf(id))).toBe(true);
    expect((await readJob(other, unknown)).status).toBe(200);
  });

  it('gives every key an expiry: TERMINAL_TTL for a finished job', async () => {
    const { upstream, one, admin } = rig;
    const ids = [
      upstream.addJob({ state: 'Failed' }).id,
      upstream.addJob({ state: 'active' }).id,
      randomUUID(),
    ];
    for (const id of ids) await readJob(one, id);
    const lives = await Promise.all(ids.map(async (id) => admin.pttl(await keyOf(id))));
    const longest = [2 * HOUR_MS, 2000, 2000];
    lives.forEach((life, index) => {
      expect(life).toBeGreaterThan(0);
      expect(life).toBeLessThanOrEqual(longest[index]!);
    });
    expect(lives[0]).toBeGreaterThan(1.9 * HOUR_MS);
    for (const key of await admin.keys('*')) expect(await admin.pttl(key)).toBeGreaterThan(0);
  });

  it('contains no token, key or secret', async () => {
    const { upstream, one, admin } = rig;
    const ids = [upstream.addJob().id, upstream.addJob({ state: 'active' }).id, randomUUID()];
    await Promise.all(ids.map((id) => readJob(one, id)));
    for (const id of ids) await keyOf(id);
    const keys = await admin.keys('*');
    const values = await Promise.all(keys.map((key) => contentOf(admin, key)));
    const all = [...keys, ...values].join();
    expect(all).toContain('"state": "active"');
    const secrets = [upstream.settings.clientSecret, upstream.calls[0]!.token, one.callers[0]!.key];
    expect(secrets.map((secret) => secret.length > 8 && all.includes(secret))).toEqual([false, false, false]);
  });

  it('separates deployments for different APIs or clients', async () => {
    const { upstream, one, admin } = rig;
    const { id } = upstream.addJob();
    const elsewhere = await startUpstream();
    elsewhere.addJob({ id, name: 'of another API' });
    const first = await readJob(one, id);
    upstream.set({ clientId: 'another-client' });
    atEnd(async () => upstream.set({ clientId: 'demo-client' }));
    const [otherApi, otherClient] = await Promise.all([
      startGateway({ upstream: elsewhere, env }),
      startGateway({ upstream, env }),
    ]);
    await Promise.all([untilRedisIs('up', otherApi), untilRedisIs('up', otherClient)]);
    const seen = [first, await readJob(otherApi, id), await readJob(otherClient, id)];
    expect(seen.map((answer) => cacheStatus(answer)['fwd'])).toEqual(seen.map(() => 'token:miss'));
    expect((await readJob(otherApi, id)).body.equals(elsewhere.bodyOf(id))).toBe(true);
    expect([upstream.count, elsewhere.count]).toEqual([2, 1]);
    await until('each has stored it', async () => (await admin.keys('*:job:*')).length === 3);
    const prefixes = (await admin.keys('*:job:*')).map((key) => key.slice(0, key.indexOf(id)));
    expect(new Set(prefixes).size).toBe(3);
  });

  it('keeps a later state when an earlier answer arrives late', async () => {
    const { upstream, one: slow, other: quick } = rig;
    const { id } = upstream.addJob({ state: 'active' });
    const third = await startGateway({ upstream, env });
    await untilRedisIs('up', third);
    upstream.fault({ kind: 'slow', ms: 700 }, { times: 1 });
    const late = readJob(slow, id);
    await upstream.arrived(1);
    upstream.setState(id, 'success');
    const finished = upstream.bodyOf(id);
    await until('somebody has seen it finished', async () =>
      (await readJob(quick, id)).body.equals(finished),
    );
    await late;
    expect((await readJob(third, id)).body.equals(finished)).toBe(true);
  });
});
