import { describe, expect, it } from '@jest/globals';
import { type Gateway, testCaller } from '../support/gateway.ts';
import { errorOf, jobIds, metric, readJob } from '../support/reads.ts';
import { startDouble, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** Calls that are held, and reads that wait for those, last as long as the test needs. */
const LONG = { UPSTREAM_TIMEOUT: '60s', PATIENCE: '60s' };

const busy = testCaller('busy');
const other = testCaller('other');

/** Resolves once so many reads stand in the queue. */
async function untilWaiting(gateway: Gateway, count: number): Promise<void> {
  await until(`${count} wait`, async () => (await metric(gateway, 'gateway_queue_depth')) >= count, 20_000);
}

/** Resolves once so many reads have been refused. */
async function untilRefused(gateway: Gateway, count: number): Promise<void> {
  const refused = (): Promise<number> => metric(gateway, 'gateway_job_reads_total', { status: '429' });
  await until(`${count} are refused`, async () => (await refused()) >= count, 20_000);
}

describe('the queue', () => {
  it("sends another caller's single read within two rounds of UPSTREAM_CONCURRENCY while 1,000 of one caller wait", async () => {
    const double = await startDouble({ unknownJobs: 'make', latencyMs: [20, 20] });
    const gateway = await startGateway({
      double,
      callers: [busy, other],
      env: { ...LONG, UPSTREAM_CONCURRENCY: '10', PATIENCE: '5m', QUEUE_LIMIT: '2000' },
    });
    double.fault({ kind: 'hold' });
    const flood = jobIds(1010).map((id) => readJob(gateway, id, { caller: busy }));
    await untilWaiting(gateway, 1000);
    const [single = ''] = jobIds(1);
    const arrivedBefore = double.count;
    const reading = readJob(gateway, single, { caller: other });
    await untilWaiting(gateway, 1001);
    double.clearFaults();
    const { status } = await reading;
    const place = double.calls.findIndex(({ jobId }) => jobId === single);
    expect(status).toBe(200);
    expect(place - arrivedBefore).toBeLessThanOrEqual(20);
    expect((await Promise.all(flood)).every((seen) => seen.status === 200)).toBe(true);
    expect(double.count).toBe(1011);
  }, 60_000);

  it('answers 429 to the caller with most waiting when it is full, and serves the others', async () => {
    const double = await startDouble({ unknownJobs: 'make' });
    double.fault({ kind: 'hold' });
    const gateway = await startGateway({
      double,
      callers: [busy, other],
      env: { ...LONG, UPSTREAM_CONCURRENCY: '2', QUEUE_LIMIT: '20' },
    });
    const flood = jobIds(2).map((id) => readJob(gateway, id, { caller: busy }));
    await double.arrived(2);
    flood.push(...jobIds(28).map((id) => readJob(gateway, id, { caller: busy })));
    await untilRefused(gateway, 8);
    const others = jobIds(5).map((id) => readJob(gateway, id, { caller: other }));
    await untilRefused(gateway, 8 + 5);
    double.clearFaults();
    const seen = await Promise.all(flood);
    const refused = seen.filter(({ status }) => status === 429);
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(refused).toHaveLength(8 + 5);
    expect(seen.length - refused.length + 5).toBe(double.count);
    for (const answer of refused) {
      expect(errorOf(answer).code).toBe('TooManyRequests');
      expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    }
  });

  it('refuses a read at once that is forecast not to get a slot in time, without a call', async () => {
    const double = await startDouble({ unknownJobs: 'make' });
    const gateway = await startGateway({ double, env: { UPSTREAM_LIMITS: '4/10s', PATIENCE: '1s' } });
    const [first = '', second = '', third = ''] = jobIds(3);
    expect((await readJob(gateway, first)).status).toBe(200);
    expect((await readJob(gateway, second)).status).toBe(200);
    const refused = await readJob(gateway, third);
    expect(refused.status).toBe(429);
    expect(refused.tookMs).toBeLessThan(500);
    expect(errorOf(refused)).toEqual({
      code: 'TooManyRequests',
      message: 'More requests were received than the subscription rate-limit allows.',
    });
    // Half of the limit is gone at once; the rest is spread over what is left of the window.
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(2);
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(4);
    expect(double.count).toBe(2);
  });

  it('refuses those in line as soon as upstream closes the gate for longer than their patience', async () => {
    const double = await startDouble({ unknownJobs: 'make', latencyMs: [1000, 1000] });
    double.fault({ kind: 'too-many', retryAfter: '60' }, { times: 1 });
    const gateway = await startGateway({ double, env: { UPSTREAM_CONCURRENCY: '1', PATIENCE: '20s' } });
    const [first = '', ...others] = jobIds(3);
    const refusedUpstream = readJob(gateway, first);
    await double.arrived(1);
    const inLine = [...others, ...others].map((id) => readJob(gateway, id));
    for (const answer of await Promise.all([refusedUpstream, ...inLine])) {
      expect(answer.status).toBe(429);
      expect(answer.tookMs).toBeLessThan(10_000);
      expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(55);
    }
    expect(await metric(gateway, 'gateway_queue_depth')).toBe(0);
    expect(double.count).toBe(1);
  });

  it('refuses a read whose patience ends while it waits, and drops it from the queue', async () => {
    const double = await startDouble({ unknownJobs: 'make' });
    double.fault({ kind: 'slow', ms: 2000 }, { times: 1 });
    const gateway = await startGateway({ double, env: { UPSTREAM_CONCURRENCY: '1', PATIENCE: '500ms' } });
    const [slow = '', late = ''] = jobIds(2);
    const under = readJob(gateway, slow);
    await double.arrived(1);
    const refused = await readJob(gateway, late);
    expect(refused.status).toBe(429);
    expect(refused.tookMs).toBeGreaterThanOrEqual(490);
    expect(refused.tookMs).toBeLessThan(1500);
    expect((await under).status).toBe(200);
    expect(await metric(gateway, 'gateway_queue_depth')).toBe(0);
    expect(double.callsFor(late)).toHaveLength(0);
  });

  it('forecasts by how long calls take as well, when it is their number that holds reads up', async () => {
    const double = await startDouble({ unknownJobs: 'make', latencyMs: [500, 500] });
    const gateway = await startGateway({ double, env: { UPSTREAM_CONCURRENCY: '2', PATIENCE: '2s' } });
    await Promise.all(jobIds(4).map((id) => readJob(gateway, id)));
    const flood = jobIds(100).map((id) => readJob(gateway, id));
    const seen = await Promise.all(flood);
    const refused = seen.filter(({ status }) => status === 429);
    const atOnce = refused.filter(({ tookMs }) => tookMs < 1500);
    expect(atOnce.length).toBeGreaterThan(60);
    expect(atOnce.some(({ headers }) => Number(headers['retry-after']) >= 3)).toBe(true);
    expect(seen.length - refused.length).toBeGreaterThanOrEqual(6);
  });

  it('has patience for slots alone: a call that takes longer and fails is tried again all the same', async () => {
    const double = await startDouble({ latencyMs: [1000, 1000] });
    const { id } = double.addJob();
    double.fault({ kind: 'status', status: 502 }, { times: 1 });
    const gateway = await startGateway({ double, env: { PATIENCE: '500ms' } });
    const first = readJob(gateway, id);
    await double.arrived(1);
    const joined = readJob(gateway, id);
    expect((await first).status).toBe(200);
    expect((await joined).status).toBe(200);
    expect(double.count).toBe(2);
    const { id: other } = double.addJob();
    double.fault({ kind: 'unauthorized' }, { times: 1 });
    expect((await readJob(gateway, other)).status).toBe(200);
    expect(double.callsFor(other)).toHaveLength(2);
  });

  it('spends nothing on a caller that goes away while it waits', async () => {
    const double = await startDouble({ unknownJobs: 'make' });
    double.fault({ kind: 'hold' }, { times: 1 });
    const gateway = await startGateway({ double, env: { ...LONG, UPSTREAM_CONCURRENCY: '1' } });
    const [slow = '', abandoned = ''] = jobIds(2);
    const under = readJob(gateway, slow);
    await double.arrived(1);
    const leaving = new AbortController();
    const gone = readJob(gateway, abandoned, { signal: leaving.signal });
    await untilWaiting(gateway, 1);
    leaving.abort();
    await expect(gone).rejects.toThrow();
    await gateway.logged((line) => line['outcome'] === 'gone');
    double.clearFaults();
    expect((await under).status).toBe(200);
    expect((await readJob(gateway, jobIds(1)[0] ?? '')).status).toBe(200);
    expect(double.callsFor(abandoned)).toHaveLength(0);
  });

  it('keeps a call for those who still wait when the one who began it goes away', async () => {
    const double = await startDouble();
    const { id } = double.addJob();
    double.fault({ kind: 'hold' });
    const gateway = await startGateway({ double, env: LONG });
    const leaving = new AbortController();
    const first = readJob(gateway, id, { signal: leaving.signal });
    await double.arrived(1);
    const second = readJob(gateway, id);
    // An answer to a later request: by then the second read is under way.
    await fetch(`${gateway.url}/health/live`);
    leaving.abort();
    await expect(first).rejects.toThrow();
    await gateway.logged((line) => line['outcome'] === 'gone');
    double.clearFaults();
    expect((await second).status).toBe(200);
    expect(double.count).toBe(1);
  });

  it('cancels the call when nobody waits any more', async () => {
    const double = await startDouble();
    const { id } = double.addJob();
    double.fault({ kind: 'hang' }, { times: 1 });
    const gateway = await startGateway({ double, env: { UPSTREAM_CONCURRENCY: '1' } });
    const leaving = new AbortController();
    const gone = readJob(gateway, id, { signal: leaving.signal });
    await double.arrived(1);
    leaving.abort();
    await expect(gone).rejects.toThrow();
    // The only slot is free again long before the call would have timed out.
    const seen = await readJob(gateway, id);
    expect(seen.status).toBe(200);
    expect(seen.tookMs).toBeLessThan(2000);
  });
});
