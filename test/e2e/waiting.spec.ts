import { describe, expect, it } from '@jest/globals';
import { type Gateway, testCaller } from '../support/gateway.ts';
import { errorOf, jobIds, metric, readJob } from '../support/reads.ts';
import { startUpstream, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** Timeouts beyond the duration of a test. */
const LONG = { UPSTREAM_TIMEOUT: '5m', PATIENCE: '5m' };

const busy = testCaller('busy');
const other = testCaller('other');

/** Waits for a number of queued reads. */
async function untilWaiting(gateway: Gateway, count: number): Promise<void> {
  await until(`${count} wait`, async () => (await metric(gateway, 'gateway_queue_depth')) >= count);
}

/** Waits for a number of refused reads. */
async function untilRefused(gateway: Gateway, count: number): Promise<void> {
  const refused = (): Promise<number> => metric(gateway, 'gateway_job_reads_total', { status: '429' });
  await until(`${count} are refused`, async () => (await refused()) >= count);
}

describe('the queue', () => {
  it("sends another caller's single read within two rounds of UPSTREAM_CONCURRENCY while 1,000 of one caller wait", async () => {
    const upstream = await startUpstream({ unknownJobs: 'make', latencyMs: [20, 20] });
    const gateway = await startGateway({
      upstream,
      callers: [busy, other],
      env: { ...LONG, UPSTREAM_CONCURRENCY: '10', QUEUE_LIMIT: '2000' },
    });
    upstream.fault({ kind: 'hold' });
    const flood = jobIds(1010).map((id) => readJob(gateway, id, { caller: busy }));
    await untilWaiting(gateway, 1000);
    const [single = ''] = jobIds(1);
    const arrivedBefore = upstream.count;
    const reading = readJob(gateway, single, { caller: other });
    await untilWaiting(gateway, 1001);
    upstream.clearFaults();
    const { status } = await reading;
    const place = upstream.calls.findIndex(({ jobId }) => jobId === single);
    expect(status).toBe(200);
    expect(place - arrivedBefore).toBeLessThanOrEqual(20);
    expect((await Promise.all(flood)).every((seen) => seen.status === 200)).toBe(true);
    expect(upstream.count).toBe(1011);
  });

  it('refuses reads of the caller with the most queued reads when it is full', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    upstream.fault({ kind: 'hold' });
    const gateway = await startGateway({
      upstream,
      callers: [busy, other],
      env: { ...LONG, UPSTREAM_CONCURRENCY: '2', QUEUE_LIMIT: '20' },
    });
    const flood = jobIds(2).map((id) => readJob(gateway, id, { caller: busy }));
    await upstream.arrived(2);
    flood.push(...jobIds(28).map((id) => readJob(gateway, id, { caller: busy })));
    await untilRefused(gateway, 8);
    const others = jobIds(5).map((id) => readJob(gateway, id, { caller: other }));
    await untilRefused(gateway, 8 + 5);
    upstream.clearFaults();
    const seen = await Promise.all(flood);
    const refused = seen.filter(({ status }) => status === 429);
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(refused).toHaveLength(8 + 5);
    expect(seen.length - refused.length + 5).toBe(upstream.count);
    for (const answer of refused) {
      expect(errorOf(answer).code).toBe('TooManyRequests');
      expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    }
  });

  it('refuses a read at once whose expected wait exceeds its patience, without a call', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const gateway = await startGateway({ upstream, env: { UPSTREAM_LIMITS: '4/10m', PATIENCE: '60s' } });
    const [first = '', second = '', third = ''] = jobIds(3);
    expect((await readJob(gateway, first)).status).toBe(200);
    expect((await readJob(gateway, second)).status).toBe(200);
    const refused = await readJob(gateway, third);
    expect(refused.status).toBe(429);
    // Its patience has not ended.
    expect(refused.tookMs).toBeLessThan(30_000);
    expect(errorOf(refused)).toEqual({
      code: 'TooManyRequests',
      message: 'More requests were received than the subscription rate-limit allows.',
    });
    // Half of the limit is used at once; the rest is spread over the window.
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(100);
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(240);
    expect(upstream.count).toBe(2);
  });

  it('refuses queued reads as soon as upstream closes the gate for longer than their patience', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make', latencyMs: [1000, 1000] });
    upstream.fault({ kind: 'too-many', retryAfter: '600' }, { times: 1 });
    const gateway = await startGateway({ upstream, env: { UPSTREAM_CONCURRENCY: '1', PATIENCE: '2m' } });
    const [first = '', ...others] = jobIds(3);
    const refusedUpstream = readJob(gateway, first);
    await upstream.arrived(1);
    const inLine = [...others, ...others].map((id) => readJob(gateway, id));
    for (const answer of await Promise.all([refusedUpstream, ...inLine])) {
      expect(answer.status).toBe(429);
      expect(answer.tookMs).toBeLessThan(60_000);
      expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(500);
    }
    expect(await metric(gateway, 'gateway_queue_depth')).toBe(0);
    expect(upstream.count).toBe(1);
  });

  it('refuses and dequeues a read whose patience ends while it waits', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    upstream.fault({ kind: 'hold' });
    const env = { UPSTREAM_CONCURRENCY: '1', UPSTREAM_TIMEOUT: '5m', PATIENCE: '2s' };
    const gateway = await startGateway({ upstream, env });
    const [slow = '', late = ''] = jobIds(2);
    const under = readJob(gateway, slow);
    await upstream.arrived(1);
    const refused = await readJob(gateway, late);
    expect(refused.status).toBe(429);
    expect(refused.tookMs).toBeGreaterThanOrEqual(1990);
    upstream.clearFaults();
    expect((await under).status).toBe(200);
    expect(await metric(gateway, 'gateway_queue_depth')).toBe(0);
    expect(upstream.callsFor(late)).toHaveLength(0);
  });

  it('includes the duration of calls in forecasts when concurrency is the bottleneck', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make', latencyMs: [1000, 1000] });
    const env = { UPSTREAM_CONCURRENCY: '2', UPSTREAM_TIMEOUT: '5m', PATIENCE: '60s' };
    const gateway = await startGateway({ upstream, env });
    await Promise.all(jobIds(4).map((id) => readJob(gateway, id)));
    upstream.set({ latencyMs: 0 });
    upstream.fault({ kind: 'hold' });
    // Four calls of a second give about 0.6 s per call: two at a time, about 200 fit into a minute.
    const flood = jobIds(400).map((id) => readJob(gateway, id));
    await untilRefused(gateway, 61);
    upstream.clearFaults();
    const seen = await Promise.all(flood);
    const refused = seen.filter(({ status }) => status === 429);
    expect(Math.min(...refused.map(({ headers }) => Number(headers['retry-after'])))).toBeGreaterThanOrEqual(
      60,
    );
    const served = seen.filter(({ status }) => status === 200);
    expect(served.length).toBeGreaterThanOrEqual(50);
    expect(refused.length + served.length).toBe(400);
  });

  it('applies patience only to waits for slots: a long call that fails is retried', async () => {
    const upstream = await startUpstream({ latencyMs: [2500, 2500] });
    const [bad, stale] = [upstream.addJob().id, upstream.addJob().id];
    upstream.fault({ kind: 'status', status: 502 }, { jobId: bad, times: 1 });
    upstream.fault({ kind: 'unauthorized' }, { jobId: stale, times: 1 });
    const gateway = await startGateway({ upstream, env: { PATIENCE: '2s' } });
    const first = readJob(gateway, bad);
    await upstream.arrived(1);
    const [joined, other] = [readJob(gateway, bad), readJob(gateway, stale)];
    expect([(await first).status, (await joined).status, (await other).status]).toEqual([200, 200, 200]);
    expect([upstream.callsFor(bad).length, upstream.callsFor(stale).length]).toEqual([2, 2]);
  });

  it('spends no call on a caller that disconnects while it waits', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    upstream.fault({ kind: 'hold' }, { times: 1 });
    const gateway = await startGateway({ upstream, env: { ...LONG, UPSTREAM_CONCURRENCY: '1' } });
    const [slow = '', abandoned = ''] = jobIds(2);
    const under = readJob(gateway, slow);
    await upstream.arrived(1);
    const leaving = new AbortController();
    const gone = readJob(gateway, abandoned, { signal: leaving.signal });
    await untilWaiting(gateway, 1);
    leaving.abort();
    await expect(gone).rejects.toThrow();
    await gateway.logged((line) => line['outcome'] === 'gone');
    upstream.clearFaults();
    expect((await under).status).toBe(200);
    expect((await readJob(gateway, jobIds(1)[0] ?? '')).status).toBe(200);
    expect(upstream.callsFor(abandoned)).toHaveLength(0);
  });

  it('keeps a call for other waiters when its first caller disconnects', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    upstream.fault({ kind: 'hold' });
    const gateway = await startGateway({ upstream, env: LONG });
    const leaving = new AbortController();
    const first = readJob(gateway, id, { signal: leaving.signal });
    await upstream.arrived(1);
    const second = readJob(gateway, id);
    // After an answer to a later request the second read is in progress.
    await fetch(`${gateway.url}/health/live`);
    leaving.abort();
    await expect(first).rejects.toThrow();
    await gateway.logged((line) => line['outcome'] === 'gone');
    upstream.clearFaults();
    expect((await second).status).toBe(200);
    expect(upstream.count).toBe(1);
  });

  it('cancels the call when its last waiter leaves', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    upstream.fault({ kind: 'hang' }, { times: 1 });
    const gateway = await startGateway({ upstream, env: { ...LONG, UPSTREAM_CONCURRENCY: '1' } });
    const leaving = new AbortController();
    const gone = readJob(gateway, id, { signal: leaving.signal });
    await upstream.arrived(1);
    leaving.abort();
    await expect(gone).rejects.toThrow();
    // The only slot becomes free long before the call would time out.
    const seen = await readJob(gateway, id);
    expect(seen.status).toBe(200);
    expect(seen.tookMs).toBeLessThan(60_000);
  });
});
