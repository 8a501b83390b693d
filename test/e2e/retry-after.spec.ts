import { describe, expect, it } from '@jest/globals';
import { errorOf, jobIds, metric, readJob, type Seen } from '../support/reads.ts';
import { startUpstream, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** The fake upstream creates the date with its answer, rounded up to a second. */
const forms = [
  { name: '2 (seconds)', fault: { kind: 'too-many', retryAfter: '2' } },
  { name: 'the HTTP-date of it', fault: { kind: 'too-many', dateInMs: 2000 } },
] as const;

describe.each(forms)('a 429 with Retry-After: $name while 50 reads wait', ({ fault }) => {
  it('sends no call early, loses no read and keeps the limit', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make', latencyMs: [20, 20] });
    const gateway = await startGateway({
      upstream,
      env: { UPSTREAM_LIMITS: '40/2s', UPSTREAM_CONCURRENCY: '5', PATIENCE: '60s' },
    });
    upstream.fault(fault, { times: 1 });
    const seen = await Promise.all(jobIds(50).map((id) => readJob(gateway, id)));
    expect(seen.map(({ status }) => status)).toEqual(Array(50).fill(200));
    expect(upstream.count).toBe(51);

    const times = upstream.calls.map(({ at }) => at);
    // Up to 4 other calls were in flight with the refused one.
    const early = times.filter((at) => at < times[0]! + 2000);
    expect(early.length).toBeLessThanOrEqual(5);
    expect(upstream.mostInWindow(2000)).toBeLessThanOrEqual(40);
  });
});

/** A patience far beyond any read on a busy machine: immediate answers arrive long before it ends. */
const PATIENCE_MS = 60_000;
const patient = { PATIENCE: `${PATIENCE_MS}ms`, UPSTREAM_TIMEOUT: '5m' };

function expectRefused(refused: Seen): void {
  expect([refused.status, errorOf(refused).code]).toEqual([429, 'TooManyRequests']);
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(500);
  expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(600);
  expect(refused.tookMs).toBeLessThan(PATIENCE_MS / 2);
}

describe('a closed gate', () => {
  it('answers 429 at once to a read whose patience ends before it opens, with a sufficient Retry-After', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const gateway = await startGateway({ upstream, env: patient });
    upstream.fault({ kind: 'too-many', retryAfter: '600' }, { times: 1 });
    for (const id of jobIds(2)) expectRefused(await readJob(gateway, id));
    expect(upstream.count).toBe(1);
  });

  it('is closed by 503s with Retry-After for three jobs as well, and serves copies meanwhile', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const { id } = upstream.addJob({ state: 'success' });
    const gateway = await startGateway({ upstream, env: patient });
    await readJob(gateway, id);
    upstream.fault({ kind: 'status', status: 503, headers: { 'retry-after': '600' } }, { times: 3 });
    for (const cold of jobIds(3)) {
      const failed = await readJob(gateway, cold);
      expect([failed.status, errorOf(failed).code]).toEqual([502, 'UpstreamError']);
      expect(Number(failed.headers['retry-after'])).toBeGreaterThan(500);
    }
    for (const cold of jobIds(2)) expectRefused(await readJob(gateway, cold));
    expect((await readJob(gateway, id)).status).toBe(200);
    expect(upstream.count).toBe(4);
  });

  it.each([429, 503])('is closed by the headers of %is, whatever happens to their bodies', async (status) => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const gateway = await startGateway({ upstream, env: patient });
    upstream.fault({ kind: 'status', status, body: 'no', headers: { 'retry-after': '600' }, hangs: true });
    const jobs = jobIds(status === 429 ? 1 : 3);
    for (const id of jobs) expect((await readJob(gateway, id)).tookMs).toBeLessThan(PATIENCE_MS / 2);
    expectRefused(await readJob(gateway, jobIds(1)[0] ?? ''));
    expect(upstream.count).toBe(jobs.length);
  });

  it('stays closed when the caller whose call was refused leaves', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const gateway = await startGateway({ upstream, env: { PATIENCE: '15m', UPSTREAM_TIMEOUT: '5m' } });
    const headers = { 'retry-after': '600' };
    upstream.fault({ kind: 'status', status: 429, body: 'no', headers, hangs: true });
    const leaving = new AbortController();
    const gone = readJob(gateway, jobIds(1)[0] ?? '', { signal: leaving.signal });
    await upstream.arrived(1);
    const closedSeconds = (): Promise<number> => metric(gateway, 'gateway_paused_seconds');
    await until('the gate is closed', async () => (await closedSeconds()) > 0);
    leaving.abort();
    await expect(gone).rejects.toThrow();
    await gateway.logged((line) => line['outcome'] === 'gone');
    expect(await closedSeconds()).toBeGreaterThan(300);
    expect(upstream.count).toBe(1);
  });

  it('has a growing backoff for 429s without Retry-After', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const gateway = await startGateway({ upstream, env: { PATIENCE: '30s' } });
    upstream.fault({ kind: 'too-many' }, { times: 2 });
    expect((await readJob(gateway, jobIds(1)[0] ?? '')).status).toBe(200);
    const [first = 0, second = 0, third = 0] = upstream.calls.map(({ at }) => at);
    expect(second - first).toBeGreaterThanOrEqual(500);
    expect(third - second).toBeGreaterThanOrEqual(1000);
    expect(upstream.count).toBe(3);
  });
});
