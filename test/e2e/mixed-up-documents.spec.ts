import { describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { errorOf, jobIds, metric, readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { until } from '../support/until.ts';

const noCache = { headers: { 'cache-control': 'no-cache' } };

/** Makes the next answer for a job a 200 with another job's finished document. */
function mixUp(upstream: FakeUpstream, jobId: string): void {
  const other = upstream.addJob({ state: 'success' });
  upstream.fault(
    { kind: 'status', status: 200, body: upstream.bodyOf(other.id).toString() },
    { jobId, times: 1 },
  );
}

describe("a 200 with another job's document", () => {
  it.each(['memory', 'Redis'])('gives 502 and is not cached, also across a restart (%s)', async (store) => {
    const upstream = await startUpstream();
    const env = store === 'Redis' ? { REDIS_URL: (await startRedis()).url } : {};
    const { id } = upstream.addJob({ state: 'success' });
    mixUp(upstream, id);
    const gateway = await startGateway({ upstream, env });
    const wrong = await readJob(gateway, id);
    expect([wrong.status, errorOf(wrong).code]).toEqual([502, 'InvalidUpstreamResponse']);
    await gateway.stop();
    const next = await startGateway({ upstream, env });
    const right = await readJob(next, id);
    expect([right.status, right.body.equals(upstream.bodyOf(id))]).toEqual([200, true]);
    expect(upstream.callsFor(id)).toHaveLength(2);
  });

  it('does not replace a copy, which is served', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob({ state: 'active' });
    const gateway = await startGateway({ upstream, env: { ACTIVE_FRESH: '0ms' } });
    await readJob(gateway, id);
    mixUp(upstream, id);
    const seen = await readJob(gateway, id);
    expect([seen.status, seen.body.equals(upstream.bodyOf(id))]).toEqual([200, true]);
  });
});

describe('a document under the wrong id in Redis', () => {
  it('is a counted miss, and is replaced even by an unfinished document', async () => {
    const [upstream, redis] = [await startUpstream(), await startRedis()];
    const admin = new Redis(redis.url);
    atEnd(async () => admin.disconnect());
    const env = { REDIS_URL: redis.url };
    const [other, job] = [upstream.addJob({ state: 'success' }), upstream.addJob({ state: 'active' })];
    const writer = await startGateway({ upstream, env });
    await untilRedisIs('up', writer);
    await readJob(writer, other.id);
    const [key = ''] = await admin.keys(`*job:${other.id}`);
    await admin.copy(key, key.replace(other.id, job.id));
    const seen = await readJob(writer, job.id);
    expect([seen.status, seen.body.equals(upstream.bodyOf(job.id))]).toEqual([200, true]);
    expect(await metric(writer, 'gateway_store_errors_total', { operation: 'decode' })).toBeGreaterThan(0);
    await until('the right one is stored', async () =>
      String(await admin.get(key.replace(other.id, job.id))).endsWith(upstream.bodyOf(job.id).toString()),
    );
  });
});

describe('no-cache', () => {
  it('replaces a finished document by a later one of the same job, on every replica', async () => {
    const [upstream, redis] = [await startUpstream(), await startRedis()];
    const env = { REDIS_URL: redis.url };
    const [id = ''] = jobIds(1);
    upstream.addJob({ id, body: '{"job":{"id":"$id","state":"success","name":"wrong"}}' });
    const [first, second] = await Promise.all([
      startGateway({ upstream, env }),
      startGateway({ upstream, env }),
    ]);
    await Promise.all([untilRedisIs('up', first), untilRedisIs('up', second)]);
    await Promise.all([readJob(first, id), readJob(second, id)]);
    upstream.addJob({ id, body: '{"job":{"id":"$id","state":"failed","name":"right"}}' });
    const isRight = async (gateway: typeof first): Promise<boolean> =>
      (await readJob(gateway, id)).body.equals(upstream.bodyOf(id));
    expect(await isRight(second)).toBe(false);
    const healed = await readJob(first, id, noCache);
    expect(healed.body.equals(upstream.bodyOf(id))).toBe(true);
    await until('the other replica has it', () => isRight(second));
    expect(await isRight(first)).toBe(true);
  });
});
