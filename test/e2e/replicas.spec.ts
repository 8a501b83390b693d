import { describe, expect, it } from '@jest/globals';
import { cacheStatus } from '../support/cache-status.ts';
import { errorOf, jobIds, readJob } from '../support/reads.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { monitorCommands } from '../support/monitor.ts';
import { connectTo, type RedisServer } from '../support/redis.ts';
import { until } from '../support/until.ts';

type Env = Readonly<Record<string, string>>;

/** Two replicas with one Redis, and the test's own connection to it. */
async function rig({ env = {}, one = {}, other = {} }: { env?: Env; one?: Env; other?: Env } = {}) {
  const [upstream, redis] = [await startUpstream({ unknownJobs: 'make' }), await startRedis()];
  const admin = connectTo({ port: redis.port });
  atEnd(async () => admin.disconnect());
  const common = { REDIS_URL: redis.url, ...env };
  const replicas = await Promise.all([
    startGateway({ upstream, env: { ...common, ...one } }),
    startGateway({ upstream, env: { ...common, ...other } }),
  ]);
  await Promise.all(replicas.map((gateway) => untilRedisIs('up', gateway)));
  return { upstream, redis, admin, one: replicas[0], other: replicas[1], id: jobIds(1)[0]! };
}

/** Counts claims of a job's lease. */
async function claimsOf(
  redis: RedisServer,
  jobId: string,
): Promise<{ until: (count: number) => Promise<void> }> {
  let claims = 0;
  await monitorCommands(redis, (args) => {
    if (args[0] === 'eval' && args[1]?.includes('PTTL') && args[3]?.endsWith(`lease:${jobId}`)) claims++;
  });
  return { until: (count) => until(`${count} have claimed it`, () => claims >= count) };
}

describe('two replicas with simultaneous reads of one job', () => {
  it('call upstream once: the second waits for the first, and reports that', async () => {
    const { upstream, redis, one, other, id } = await rig();
    const claims = await claimsOf(redis, id);
    upstream.fault({ kind: 'hold' });
    const first = readJob(one, id);
    await upstream.arrived(1);
    const second = readJob(other, id);
    await claims.until(2);
    const third = readJob(other, id);
    // After an answer to a later request the third read is in progress.
    for (let later = 0; later < 3; later++) await fetch(`${other.url}/health/live`);
    upstream.clearFaults();
    const seen = await Promise.all([first, second, third]);
    expect(seen.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(seen.map((answer) => cacheStatus(answer)['collapsed'] === true)).toEqual([false, true, true]);
    expect(upstream.count).toBe(1);
  });

  it("share upstream's answer, including errors", async () => {
    const { upstream, one, other, id } = await rig();
    upstream.fault({
      kind: 'status',
      status: 422,
      body: { error: { code: 'Odd', message: 'Odd.', target: 'id' } },
    });
    upstream.set({ latencyMs: 500 });
    const first = readJob(one, id);
    await upstream.arrived(1);
    const seen = [await readJob(other, id), await first];
    expect(seen.map((answer) => [answer.status, errorOf(answer)])).toEqual([
      [422, { code: 'Odd', message: 'Odd.', target: 'id' }],
      [422, { code: 'Odd', message: 'Odd.', target: 'id' }],
    ]);
    expect(upstream.count).toBe(1);
  });

  it('wait for a slow lease holder as long as it lives', async () => {
    const { upstream, one, other, id } = await rig();
    upstream.set({ latencyMs: 3500 });
    const first = readJob(one, id);
    await upstream.arrived(1);
    const second = await readJob(other, id);
    expect([second.status, (await first).status, upstream.count]).toEqual([200, 200, 1]);
  });

  it('continue without a dead lease holder within its lease', async () => {
    const { upstream, one, other, id } = await rig();
    upstream.fault({ kind: 'hang' }, { times: 1 });
    const first = readJob(one, id);
    await upstream.arrived(1);
    const second = readJob(other, id);
    one.signal('SIGKILL');
    await expect(first).rejects.toThrow();
    expect([(await second).status, upstream.count]).toEqual([200, 2]);
  });

  it('find the copy although its message was lost', async () => {
    const { upstream, redis, admin, one, other, id } = await rig();
    const claims = await claimsOf(redis, id);
    // Pub/sub is forbidden: subscribers are disconnected.
    await admin.call('ACL', 'SETUSER', 'default', 'resetchannels');
    upstream.fault({ kind: 'hold' });
    const first = readJob(one, id);
    await upstream.arrived(1);
    const second = readJob(other, id);
    // The waiting replica checks Redis repeatedly.
    await claims.until(4);
    upstream.clearFaults();
    expect((await first).status).toBe(200);
    expect([(await second).status, upstream.count]).toEqual([200, 1]);
  });

  it('take over from a lease holder whose own callers have left', async () => {
    const { upstream, redis, one, other, id } = await rig({
      env: { UPSTREAM_CONCURRENCY: '1' },
      one: { PATIENCE: '2s' },
    });
    const claims = await claimsOf(redis, id);
    upstream.fault({ kind: 'hold' }, { times: 1 });
    const busy = readJob(one, jobIds(1)[0]!);
    await upstream.arrived(1);
    const impatient = readJob(one, id);
    await claims.until(1);
    const patient = readJob(other, id);
    expect((await impatient).status).toBe(429);
    expect((await patient).status).toBe(200);
    expect(upstream.callsFor(id)).toHaveLength(1);
    upstream.clearFaults();
    await busy;
  });

  it('refuse reads whose patience ends while the lease holder is queued', async () => {
    const { upstream, redis, one, other, id } = await rig({
      env: { UPSTREAM_CONCURRENCY: '1' },
      other: { PATIENCE: '400ms' },
    });
    upstream.fault({ kind: 'hold' }, { times: 1 });
    const busy = readJob(one, jobIds(1)[0]!);
    await upstream.arrived(1);
    const claims = await claimsOf(redis, id);
    const patient = readJob(one, id);
    await claims.until(1);
    expect((await readJob(other, id)).status).toBe(429);
    upstream.clearFaults();
    expect([(await patient).status, (await busy).status]).toEqual([200, 200]);
  });

  it('do not refuse reads whose patience ends after the call was sent', async () => {
    const { upstream, one, other, id } = await rig({ other: { PATIENCE: '400ms' } });
    upstream.set({ latencyMs: 1500 });
    const first = readJob(one, id);
    await upstream.arrived(1);
    expect((await readJob(other, id)).status).toBe(200);
    expect([(await first).status, upstream.count]).toEqual([200, 1]);
  });
});

describe('a job that one replica has found finished', () => {
  it('is finished at the other, whatever copy it had in memory', async () => {
    const { upstream, admin, one, other, id } = await rig({ env: { ACTIVE_FRESH: '1m' } });
    upstream.addJob({ id, state: 'active' });
    await readJob(other, id);
    await admin.del(...(await admin.keys(`*job:${id}`)));
    upstream.setState(id, 'success');
    const finished = upstream.bodyOf(id);
    expect((await readJob(one, id)).body.equals(finished)).toBe(true);
    const seen = await readJob(other, id);
    expect(seen.body.equals(finished)).toBe(true);
    expect(cacheStatus(seen)).toMatchObject({ hit: true, detail: 'token:redis' });
    expect(upstream.count).toBe(2);
  });

  it('is the answer to a read that was sent before it finished', async () => {
    const { upstream, admin, one, other, id } = await rig();
    upstream.addJob({ id, state: 'active' });
    upstream.fault({ kind: 'hold' }, { times: 1 });
    const early = readJob(other, id);
    await upstream.arrived(1);
    await admin.del(...(await admin.keys(`*lease:${id}`)));
    upstream.setState(id, 'success');
    const finished = upstream.bodyOf(id);
    expect((await readJob(one, id)).body.equals(finished)).toBe(true);
    upstream.clearFaults();
    expect((await early).body.equals(finished)).toBe(true);
  });
});
