import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { cacheStatus } from '../support/cache-status.ts';
import { deploy, type Deployment, reader } from '../support/deployment.ts';
import type { Seen } from '../support/reads.ts';
import { until } from '../support/until.ts';

const JOBS = 40;
const FLOOR_MS = 5000;
const ROUND_MS = 10_000;
const REFRESH_WAIT_MS = 1000;

interface Sample extends Seen {
  readonly jobId: string;
  /** When the answer came, in milliseconds since 1970. */
  readonly at: number;
}

/** Clients that each read one of the jobs every second. */
class Dashboards {
  readonly samples: Sample[] = [];
  #running = true;
  readonly #done: Promise<unknown>;

  constructor(read: ReturnType<typeof reader>, jobIds: readonly string[], clients: number) {
    this.#done = Promise.all(
      Array.from({ length: clients }, async (_, client) => {
        await delay((client * 1000) / clients);
        for (let turn = client; this.#running; turn += 7) {
          const due = performance.now() + 1000;
          const jobId = jobIds[turn % jobIds.length]!;
          const seen = await read(jobId);
          this.samples.push({ ...seen, jobId, at: performance.timeOrigin + performance.now() });
          await delay(Math.max(0, due - performance.now()));
        }
      }),
    );
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }
}

/** By the time that the double has put into the body. */
function ageMs({ at, body }: Sample): number {
  return at - (JSON.parse(body.toString()) as { job: { stampedMs: number } }).job.stampedMs;
}

function percentile(numbers: readonly number[], percent: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length * percent) / 100)] ?? 0;
}

async function jobsOf({ double }: Deployment): Promise<string[]> {
  await double.set({ stamped: true });
  return Promise.all(Array.from({ length: JOBS }, () => double.addJob({ state: 'active' })));
}

describe.each([{ clients: 20 }, { clients: 200 }, { clients: 400 }])(
  '$clients dashboards of 40 running jobs under 40/10s',
  ({ clients }) => {
    let samples: Sample[] = [];
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
      const before = (await deployment.double.told()).length;
      await delay(clients === 200 ? 60_000 : 30_000);
      calls = (await deployment.double.told()).length - before;
      refused = await deployment.double.refused();
      const to = performance.timeOrigin + performance.now();
      await dashboards.stop();
      samples = dashboards.samples.filter(({ at }) => at >= from && at <= to);
      seconds = (to - from) / 1000;
      for (const gateway of deployment.gateways) await gateway.stop();
      await deployment.redis.kill();
      await deployment.double.stop();
    }, 180_000);

    it('all get a 200, never late, as fresh as the quota allows', () => {
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
