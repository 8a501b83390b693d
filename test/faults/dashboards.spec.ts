import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { cacheStatus } from '../support/cache-status.ts';
import { ageMs, Dashboards, type DashboardSample } from '../support/dashboards.ts';
import { deploy, type Deployment, reader } from '../support/deployment.ts';
import { until } from '../support/until.ts';

const JOBS = 40;
const FLOOR_MS = 5000;
const ROUND_MS = 10_000;
const REFRESH_WAIT_MS = 1000;

function percentile(numbers: readonly number[], percent: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length * percent) / 100)] ?? 0;
}

async function jobsOf({ upstream }: Deployment): Promise<string[]> {
  await upstream.set({ stamped: true });
  return Promise.all(Array.from({ length: JOBS }, () => upstream.addJob({ state: 'active' })));
}

describe.each([{ clients: 20 }, { clients: 200 }, { clients: 400 }])(
  '$clients dashboards of 40 running jobs under 40/10s',
  ({ clients }) => {
    let samples: DashboardSample[] = [];
    let calls = 0;
    let seconds = 0;
    let refused = 0;

    beforeAll(async () => {
      const deployment = await deploy({ limits: '40/10s', each: [{}, {}], env: { PATIENCE: '10s' } });
      const jobIds = await jobsOf(deployment);
      const read = reader(deployment);
      const dashboards = new Dashboards(read, jobIds, clients);
      const seen = (): Set<string> =>
        new Set(dashboards.samples.filter(({ status }) => status === 200).map(({ jobId }) => jobId));
      await until('all jobs have been read', () => seen().size === JOBS, 30_000);
      await delay(2 * ROUND_MS);
      const from = performance.timeOrigin + performance.now();
      const before = (await deployment.upstream.recordedCalls()).length;
      await delay(clients === 200 ? 60_000 : 30_000);
      calls = (await deployment.upstream.recordedCalls()).length - before;
      refused = await deployment.upstream.refused();
      const to = performance.timeOrigin + performance.now();
      await dashboards.stop();
      samples = dashboards.samples.filter(({ at }) => at >= from && at <= to);
      seconds = (to - from) / 1000;
      for (const gateway of deployment.gateways) await gateway.stop();
      await deployment.redis.kill();
      await deployment.upstream.stop();
    }, 180_000);

    it('all get 200, in time, as fresh as the quota allows', () => {
      const ages = samples.map(ageMs);
      const hits = samples
        .filter((sample) => cacheStatus(sample)['hit'] === true)
        .map(({ tookMs }) => tookMs);
      const mean = ages.reduce((sum, age) => sum + age, 0) / ages.length;
      process.stdout.write(
        `${clients} dashboards: ${samples.length} reads, ${(calls / seconds).toFixed(2)} upstream calls a second, ${refused} refused, slowest ${Math.max(...samples.map(({ tookMs }) => tookMs)).toFixed(0)} ms, ` +
          `p99 of hits ${percentile(hits, 99).toFixed(1)} ms, mean age ${(mean / 1000).toFixed(2)} s (${(mean / FLOOR_MS).toFixed(2)} of the floor), oldest ${(Math.max(...ages) / 1000).toFixed(1)} s\n`,
      );
      expect(refused).toBe(0);
      expect(samples.filter(({ status }) => status !== 200)).toEqual([]);
      expect(Math.max(...samples.map(({ tookMs }) => tookMs))).toBeLessThanOrEqual(REFRESH_WAIT_MS + 100);
      expect(percentile(hits, 99)).toBeLessThan(20);
      expect(mean).toBeLessThanOrEqual(1.25 * FLOOR_MS);
      expect(Math.max(...ages)).toBeLessThanOrEqual(3 * FLOOR_MS);
      // The quota, whoever reads: 40 in 10 s, less the margin.
      expect(calls / seconds).toBeGreaterThan(0.95 * 4);
      expect(calls / seconds).toBeLessThanOrEqual(4.05);
    });
  },
);

describe('dashboards', () => {
  it('see no error during 60 s of outage and a Retry-After of 20 minutes; each answer has its age', async () => {
    const deployment = await deploy({
      each: [{}, {}],
      env: { UPSTREAM_TIMEOUT: '1s', PATIENCE: '10s', ACTIVE_FRESH: '1s' },
    });
    const jobIds = await jobsOf(deployment);
    const dashboards = new Dashboards(reader(deployment), jobIds, 80);
    const seen = (): Set<string> => new Set(dashboards.samples.map(({ jobId }) => jobId));
    await until('all jobs have been read', () => seen().size === JOBS, 30_000);
    await deployment.upstream.fault({ kind: 'reset' });
    await delay(30_000);
    await deployment.upstream.clearFaults();
    await deployment.upstream.fault({ kind: 'hang' });
    await delay(30_000);
    await deployment.upstream.clearFaults();
    await deployment.upstream.fault({ kind: 'too-many', retryAfter: '1200' });
    // The circuit's trial meets the refusal.
    await delay(20_000);
    const calls = (await deployment.upstream.recordedCalls()).length;
    await delay(3000);
    expect((await deployment.upstream.recordedCalls()).length).toBe(calls);
    await dashboards.stop();

    const { samples } = dashboards;
    const wrong = samples.filter(
      (sample) => Math.abs(Number(sample.headers['age']) * 1000 - ageMs(sample)) > 2100,
    );
    process.stdout.write(
      `upstream down: ${samples.length} reads, all 200: ${samples.every(({ status }) => status === 200)}, oldest ${(Math.max(...samples.map(ageMs)) / 1000).toFixed(0)} s, ` +
        `slowest ${Math.max(...samples.map(({ tookMs }) => tookMs)).toFixed(0)} ms\n`,
    );
    expect(samples.filter(({ status }) => status !== 200)).toEqual([]);
    expect(wrong).toEqual([]);
    expect(Math.max(...samples.map(ageMs))).toBeGreaterThan(60_000);
    expect(Math.max(...samples.map(({ tookMs }) => tookMs))).toBeLessThanOrEqual(REFRESH_WAIT_MS + 100);
  }, 180_000);

  it('never see an unfinished state of a job that they saw finished, on any replica', async () => {
    const deployment = await deploy({
      latencyMs: [5, 150],
      env: { ACTIVE_FRESH: '200ms', REFRESH_WAIT: '100ms' },
    });
    const { upstream } = deployment;
    const read = reader(deployment);
    const ends = (index: number): number => 500 + 100 * index;
    const ids = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        upstream.addJob({ script: [{ state: 'active', forMs: ends(index) }, { state: 'success' }] }),
      ),
    );
    let reads = 0;
    const wentBack = await Promise.all(
      ids.map(async (id) => {
        let [finished, back] = [false, false];
        const end = performance.now() + 6000;
        // Three readers at once, who tell each other what they saw.
        const follow = async (noCache: boolean): Promise<void> => {
          while (performance.now() < end) {
            const sawFinished = finished;
            const headers: Record<string, string> =
              noCache && reads % 5 === 0 ? { 'cache-control': 'no-cache' } : {};
            const { body } = await read(id, { headers });
            reads++;
            const isFinished = body.includes('"state": "success"');
            back ||= sawFinished && !isFinished;
            finished ||= isFinished;
          }
        };
        await Promise.all([follow(false), follow(false), follow(true)]);
        return back || !finished;
      }),
    );
    process.stdout.write(`no going back: ${reads} reads of ${ids.length} jobs over three replicas\n`);
    expect(wentBack).toEqual(ids.map(() => false));
  }, 60_000);
});
