import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { deploy, type Deployment } from '../support/deployment.ts';
import { counts, Load } from '../support/load.ts';
import { OUTAGES } from '../support/outages.ts';
import type { Gateway } from '../support/gateway.ts';
import { readiness } from '../support/readiness.ts';
import { jobIds, metric, readJob } from '../support/reads.ts';
import { mostInWindow } from '../support/windows.ts';

/** `SOAK_SECONDS=600 SOAK_SEED=7 npm run test:faults -- soak` repeats a run. */
const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 60);
const SEED = Number(process.env['SOAK_SEED'] ?? Date.now() % 1_000_000);
/** What is in use; what V8 has taken from the system beside it grows for minutes before it stays. */
const IN_USE = ['nodejs_heap_size_used_bytes', 'nodejs_external_memory_bytes'];
const LIMIT = { limit: 100, windowMs: 2000 };
/** From the second quarter of the run to the last: what a collection that is due may leave. Only a long run has them all. */
const MOST_GROWTH_BYTES = (SECONDS >= 300 ? 24 : 96) * 2 ** 20;
const LOOK_EVERY_MS = 1000;

/** mulberry32: a small generator that a seed repeats. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

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

/** What each replica's memory comes to, as long as it is looked at. */
class Memory {
  readonly #samples: number[][] = [];
  #looking = true;
  readonly #loop: Promise<void>;

  constructor({ gateways }: Deployment) {
    this.#loop = (async () => {
      while (this.#looking) {
        this.#samples.push(await Promise.all(gateways.map(inUse)));
        await delay(LOOK_EVERY_MS);
      }
    })();
  }

  /** By how much each has grown from the second quarter to the last: the least in each, which is what collections leave. */
  async growth(): Promise<number[]> {
    this.#looking = false;
    await this.#loop;
    const quarter = Math.floor(this.#samples.length / 4);
    const least = (from: number, replica: number): number =>
      Math.min(...this.#samples.slice(from, from + quarter).map((at) => at[replica]!));
    return this.#samples[0]!.map((_, replica) => least(3 * quarter, replica) - least(quarter, replica));
  }
}

async function inUse(gateway: Gateway): Promise<number> {
  const parts = await Promise.all(IN_USE.map((name) => metric(gateway, name)));
  return parts.reduce((sum, bytes) => sum + bytes, 0);
}

it(
  `goes through ${SECONDS} s of random faults under load (seed ${SEED}) and loses nothing`,
  async () => {
    process.stdout.write(`soak: ${SECONDS} s, seed ${SEED}\n`);
    const deployment = await deploy({
      limits: '100/2s',
      env: { UPSTREAM_TIMEOUT: '1s', MEMORY_CACHE_SIZE: '4mb' },
    });
    await deployment.double.set({ tokenLifetimeSeconds: 8 });
    const cachedIds = jobIds(30);
    for (const gateway of deployment.gateways) await Promise.all(cachedIds.map((id) => readJob(gateway, id)));
    const load = new Load(deployment, { cached: 150, cold: 25, cachedIds });
    await delay(10_000);
    const memory = new Memory(deployment);
    const told = await trouble(deployment, generator(SEED), performance.now() + SECONDS * 1000);
    // The longest cooldown and pause.
    await delay(12_000);
    const wellAt = performance.now();
    await delay(2000);
    await load.stop();
    const growth = await memory.growth();
    const most = mostInWindow(await deployment.double.told(), LIMIT.windowMs);
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
    expect(await deployment.double.refused()).toBe(0);
    expect(most).toBeLessThanOrEqual(LIMIT.limit);
    expect(Math.max(...growth)).toBeLessThan(MOST_GROWTH_BYTES);
    for (const gateway of deployment.gateways) expect((await readiness(gateway)).status).toBe(200);
  },
  (SECONDS + 120) * 1000,
);
