import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { deploy, type Deployment } from '../support/deployment.ts';
import { counts, Load } from '../support/load.ts';
import { OUTAGES } from '../support/outages.ts';
import { MemoryGrowth } from '../support/memory-growth.ts';
import { readiness } from '../support/readiness.ts';
import { generator } from '../support/random.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { mostInWindow } from '../support/windows.ts';

/** `SOAK_SECONDS=600 SOAK_SEED=7 npm run test:faults -- soak` repeats a run. */
const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 60);
const SEED = Number(process.env['SOAK_SEED'] ?? Date.now() % 1_000_000);
const LIMIT = { limit: 100, windowMs: 2000 };
/**
 * From the second quarter of the run to the last: what a collection that is due may leave. Only a long run has them
 * all.
 */
const MOST_GROWTH_BYTES = (SECONDS >= 300 ? 24 : 96) * 2 ** 20;

/** One fault after another, each up to four seconds long, until the time is over. */
async function trouble(deployment: Deployment, random: () => number, until: number): Promise<string[]> {
  const one = OUTAGES.filter(({ store }) => !store);
  const told: string[] = [];
  while (performance.now() < until) {
    const outage = one[Math.floor(random() * one.length)]!;
    told.push(outage.name);
    await outage.begin(deployment);
    await delay(random() * 4000);
    await outage.end(deployment);
    await delay(random() * 3000);
  }
  return told;
}

it(
  `goes through ${SECONDS} s of random faults under load (seed ${SEED}) and loses nothing`,
  async () => {
    process.stdout.write(`soak: ${SECONDS} s, seed ${SEED}\n`);
    const deployment = await deploy({
      limits: '100/2s',
      env: { UPSTREAM_TIMEOUT: '1s', MEMORY_CACHE_SIZE: '4mb' },
    });
    await deployment.upstream.set({ tokenLifetimeSeconds: 8 });
    const cachedIds = jobIds(30);
    for (const gateway of deployment.gateways) await Promise.all(cachedIds.map((id) => readJob(gateway, id)));
    const load = new Load(deployment, { cached: 150, cold: 25, cachedIds });
    await delay(10_000);
    const memory = new MemoryGrowth(deployment);
    const told = await trouble(deployment, generator(SEED), performance.now() + SECONDS * 1000);
    // The longest cooldown and pause.
    await delay(12_000);
    const wellAt = performance.now();
    await delay(2000);
    await load.stop();
    const growth = await memory.end();
    const most = mostInWindow(await deployment.upstream.recordedCalls(), LIMIT.windowMs);
    process.stdout.write(
      `soak: ${told.length} faults; cached ${JSON.stringify(counts(load.during('cached', 0, Infinity)))}, ` +
        `cold ${JSON.stringify(counts(load.during('cold', 0, Infinity)))}; most in a window ${most}/${LIMIT.limit}; ` +
        `memory grew by ${growth.map((bytes) => (bytes / 2 ** 20).toFixed(0)).join(', ')} MB\n`,
    );
    const cached = load.during('cached', 0, Infinity);
    expect(counts(cached)).toEqual({ 200: cached.length });
    const cold = Object.keys(counts(load.during('cold', 0, Infinity)));
    expect(cold.filter((status) => !['200', '502', '503', '504'].includes(status))).toEqual([]);
    const atEnd = load.during('cold', wellAt, Infinity);
    expect(counts(atEnd)).toEqual({ 200: atEnd.length });
    expect(await deployment.upstream.refused()).toBe(0);
    expect(most).toBeLessThanOrEqual(LIMIT.limit);
    expect(Math.max(...growth)).toBeLessThan(MOST_GROWTH_BYTES);
    for (const gateway of deployment.gateways) expect((await readiness(gateway)).status).toBe(200);
  },
  (SECONDS + 120) * 1000,
);
