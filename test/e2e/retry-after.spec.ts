import { describe, expect, it } from '@jest/globals';
import { errorOf, jobIds, metric, readJob } from '../support/reads.ts';
import { startDouble, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** The date is made by the double as it answers, and rounded up to a whole second. */
const forms = [
  { name: '2 (seconds)', fault: { kind: 'too-many', retryAfter: '2' } },
  { name: 'the HTTP-date of it', fault: { kind: 'too-many', dateInMs: 2000 } },
] as const;

describe.each(forms)('a 429 that says Retry-After: $name while 50 reads wait', ({ fault }) => {
  it('sends nothing early, loses nothing and goes on at an even pace', async () => {
    const double = await startDouble({ unknownJobs: 'make', latencyMs: [20, 20] });
    const gateway = await startGateway({
      double,
      env: { UPSTREAM_LIMITS: '40/2s', UPSTREAM_CONCURRENCY: '5', PATIENCE: '60s' },
    });
    double.fault(fault, { times: 1 });
    const seen = await Promise.all(jobIds(50).map((id) => readJob(gateway, id)));
    expect(seen.map(({ status }) => status)).toEqual(Array(50).fill(200));
    expect(double.count).toBe(51);

    const times = double.calls.map(({ at }) => at);
    const refusedAt = times[0] ?? 0;
    // What was on the wire with the refused call is not the gateway's to take back: 4 others at most.
    const after = times.filter((at) => at > refusedAt + 50);
    expect(times.length - after.length).toBeLessThanOrEqual(5);
    expect(Math.min(...after) - refusedAt).toBeGreaterThanOrEqual(2000);
    expect(Math.min(...after) - refusedAt).toBeLessThan(4200);

    // The limit is cut to 28 in 2.04 s: one in 73 ms at an even pace. A burst would be many within a few ms.
    const gaps = after.slice(1).map((at, index) => at - (after[index] ?? 0));
    const median = gaps.toSorted((a, b) => a - b)[gaps.length >> 1] ?? 0;
    expect(median).toBeGreaterThan(40);
    for (let index = 0; index + 6 < after.length; index++) {
      expect((after[index + 6] ?? 0) - (after[index] ?? 0)).toBeGreaterThan(60);
    }
  }, 30_000);
});

describe('a closed gate', () => {
  it('answers 429 at once to a read whose patience ends before it opens, never earlier than upstream allows', async () => {
    const double = await startDouble({ unknownJobs: 'make' });
    const gateway = await startGateway({ double, env: { PATIENCE: '1s' } });
    double.fault({ kind: 'too-many', retryAfter: '20' }, { times: 1 });
    const [first = '', second = ''] = jobIds(2);
    for (const id of [first, second]) {
      const refused = await readJob(gateway, id);
      expect(refused.status).toBe(429);
      expect(errorOf(refused).code).toBe('TooManyRequests');
      expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(19);
      expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(21);
      expect(refused.tookMs).toBeLessThan(900);
    }
    expect(double.count).toBe(1);
  });

  it('is closed by a 503 with Retry-After as well, and serves what is known meanwhile', async () => {
    const double = await startDouble();
    const { id } = double.addJob({ state: 'success' });
    const { id: cold } = double.addJob();
    const gateway = await startGateway({ double, env: { PATIENCE: '1s' } });
    await readJob(gateway, id);
    double.fault({ kind: 'status', status: 503, headers: { 'retry-after': '30' } }, { times: 1 });
    const failed = await readJob(gateway, cold);
    expect(failed.status).toBe(502);
    expect(errorOf(failed).code).toBe('UpstreamError');
    const refused = await readJob(gateway, cold);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(29);
    expect((await readJob(gateway, id)).status).toBe(200);
    expect(double.count).toBe(2);
  });

  it.each([429, 503])('is closed by the head of a %i, whatever becomes of the rest of it', async (status) => {
    const double = await startDouble({ unknownJobs: 'make' });
    const gateway = await startGateway({ double, env: { PATIENCE: '1s', UPSTREAM_TIMEOUT: '1m' } });
    double.fault({ kind: 'status', status, body: 'no', headers: { 'retry-after': '30' }, hangs: true });
    const [first = '', second = ''] = jobIds(2);
    expect((await readJob(gateway, first)).tookMs).toBeLessThan(900);
    const refused = await readJob(gateway, second);
    expect([refused.status, refused.tookMs < 900]).toEqual([429, true]);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(29);
    expect(double.count).toBe(1);
  });

  it('stays closed when the caller whose call was refused leaves', async () => {
    const double = await startDouble({ unknownJobs: 'make' });
    const gateway = await startGateway({ double, env: { PATIENCE: '1m', UPSTREAM_TIMEOUT: '1m' } });
    const headers = { 'retry-after': '40' };
    double.fault({ kind: 'status', status: 429, body: 'no', headers, hangs: true });
    const leaving = new AbortController();
    const gone = readJob(gateway, jobIds(1)[0] ?? '', { signal: leaving.signal });
    await double.arrived(1);
    const closedSeconds = (): Promise<number> => metric(gateway, 'gateway_paused_seconds');
    await until('the gate is closed', async () => (await closedSeconds()) > 0);
    leaving.abort();
    await expect(gone).rejects.toThrow();
    await gateway.logged((line) => line['outcome'] === 'gone');
    expect(await closedSeconds()).toBeGreaterThan(30);
    expect(double.count).toBe(1);
  });

  it('waits a growing while of its own when a 429 says nothing', async () => {
    const double = await startDouble({ unknownJobs: 'make' });
    const gateway = await startGateway({ double, env: { PATIENCE: '30s' } });
    double.fault({ kind: 'too-many' }, { times: 2 });
    expect((await readJob(gateway, jobIds(1)[0] ?? '')).status).toBe(200);
    const [first = 0, second = 0, third = 0] = double.calls.map(({ at }) => at);
    expect(second - first).toBeGreaterThanOrEqual(500);
    expect(third - second).toBeGreaterThanOrEqual(1000);
    expect(double.count).toBe(3);
  }, 30_000);
});
