import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { deploy, type Deployment } from '../support/deployment.ts';
import { JobFollowers } from '../support/job-followers.ts';
import { counts, Load } from '../support/load.ts';
import { MemoryGrowth } from '../support/memory-growth.ts';
import { generator } from '../support/random.ts';
import { readiness } from '../support/readiness.ts';
import { jobIds, metric, readJob } from '../support/reads.ts';
import { ReplicatedStore, STORE_TROUBLES } from '../support/store-troubles.ts';
import { until } from '../support/until.ts';
import { mostInWindow } from '../support/windows.ts';

/** `STORE_SECONDS=60 STORE_SEED=7 npm run test:faults -- store-troubles` makes a short run, and repeats it. */
const SECONDS = Number(process.env['STORE_SECONDS'] ?? 600);
const SEED = Number(process.env['STORE_SEED'] ?? Date.now() % 1_000_000);
const LIMIT = { limit: 100, windowMs: 2000 };
const PATIENCE_MS = 3000;
const CALL_MS = 1000;
/** A read waits for slots for its patience, then for one call; the rest is the test's own. */
const LONGEST_READ_MS = PATIENCE_MS + CALL_MS + 1000;
const WELL_WITHIN_MS = 3000;
const MOST_IDLE_COMMANDS = 300;
const MOST_GROWTH_BYTES = (SECONDS >= 300 ? 24 : 96) * 2 ** 20;

/** Whether all replicas share the budget, hear each other and say that they are ready. */
async function areWell({ gateways }: Deployment): Promise<boolean> {
  const seen = await Promise.all(
    gateways.map(async (gateway) => {
      const [{ parts }, shared] = await Promise.all([
        readiness(gateway),
        metric(gateway, 'gateway_budget_mode', { mode: 'shared' }),
      ]);
      return parts['redis'] === 'up' && shared === 1;
    }),
  );
  return seen.every(Boolean);
}

/**
 * One trouble after another until the time is over.
 * @returns after how many milliseconds all was well, for each kind
 */
async function goThroughTroubles(
  deployment: Deployment,
  store: ReplicatedStore,
  random: () => number,
): Promise<Map<string, number[]>> {
  const wellAfter = new Map<string, number[]>(STORE_TROUBLES.map(({ name }) => [name, []]));
  const end = performance.now() + SECONDS * 1000;
  for (let turn = 0; performance.now() < end; turn++) {
    const trouble = STORE_TROUBLES[turn % STORE_TROUBLES.length]!;
    await trouble.begin(store, random);
    await delay(random() * 3000);
    await trouble.end(store);
    const mendedAt = performance.now();
    await until(`all is well after ${trouble.name}`, () => areWell(deployment));
    wellAfter.get(trouble.name)!.push(performance.now() - mendedAt);
    await delay(random() * 2000);
  }
  return wellAfter;
}

/** How many commands a second a Redis takes. */
async function commandsASecond(client: Redis): Promise<number> {
  const processed = async (): Promise<number> =>
    Number(/total_commands_processed:(\d+)/.exec(await client.info('stats'))?.[1]);
  const before = await processed();
  await delay(10_000);
  return ((await processed()) - before) / 10;
}

it(
  `goes through ${SECONDS} s of a store that is distant, loses messages, holds invalid values and fails over (seed ${SEED})`,
  async () => {
    const random = generator(SEED);
    const store = await ReplicatedStore.start();
    const deployment = await deploy({
      limits: '100/2s',
      env: { UPSTREAM_TIMEOUT: `${CALL_MS}ms`, PATIENCE: `${PATIENCE_MS}ms`, MEMORY_CACHE_SIZE: '4mb' },
      store: async () => ({ redis: store.redis, env: { REDIS_URL: store.url } }),
    });
    const cachedIds = jobIds(30);
    for (const gateway of deployment.gateways) await Promise.all(cachedIds.map((id) => readJob(gateway, id)));
    const load = new Load(deployment, { cached: 100, cold: 15, cachedIds });
    const followers = new JobFollowers(deployment, random, 20);
    await delay(10_000);
    const memory = new MemoryGrowth(deployment);
    const wellAfter = await goThroughTroubles(deployment, store, random);
    await Promise.all([load.stop(), followers.end()]);
    const growth = await memory.end();
    const idle = await commandsASecond(store.client);

    const calls = await deployment.upstream.recordedCalls();
    const [cached, cold] = [load.during('cached', 0, Infinity), load.during('cold', 0, Infinity)];
    const longestMs = Math.max(followers.longestMs, ...[...cached, ...cold].map(({ tookMs }) => tookMs));
    const longestAway = [...wellAfter].map(([name, times]) => [name, Math.round(Math.max(...times))]);
    process.stdout.write(
      `store, seed ${SEED}: ${[...wellAfter.values()].flat().length} troubles, well after at most ${JSON.stringify(Object.fromEntries(longestAway))} ms; ` +
        `cached ${JSON.stringify(counts(cached))}, cold ${JSON.stringify(counts(cold))}, ` +
        `${followers.reads} reads of running jobs, ${followers.failures.length} failed ${JSON.stringify(followers.failures)}, ${followers.wentBack().length} went back; longest read ${Math.round(longestMs)} ms; ` +
        `most in a window ${mostInWindow(calls, LIMIT.windowMs)}/${LIMIT.limit}; idle ${idle} commands/s; ` +
        `memory grew by ${growth.map((bytes) => (bytes / 2 ** 20).toFixed(0)).join(', ')} MB\n`,
    );
    expect(counts(cached)).toEqual({ 200: cached.length });
    expect(counts(cold)).toEqual({ 200: cold.length });
    expect(followers.failures).toEqual([]);
    expect(followers.wentBack()).toEqual([]);
    expect(longestMs).toBeLessThan(LONGEST_READ_MS);
    expect(await deployment.upstream.refused()).toBe(0);
    expect(mostInWindow(calls, LIMIT.windowMs)).toBeLessThanOrEqual(LIMIT.limit);
    for (const [, ms] of longestAway) expect(ms).toBeLessThan(WELL_WITHIN_MS);
    expect(idle).toBeLessThan(MOST_IDLE_COMMANDS);
    expect(Math.max(...growth)).toBeLessThan(MOST_GROWTH_BYTES);
  },
  (SECONDS + 180) * 1000,
);
