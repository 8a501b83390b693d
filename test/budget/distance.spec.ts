import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { DistantBudgets, type DistantOptions } from '../support/distant-budgets.ts';
import { RedisServer } from '../support/redis.ts';
import { mostInWindow, usedAfterFirstWindow } from '../support/windows.ts';

jest.setTimeout(120_000);

const rig = {} as { server: RedisServer; redis: Redis };
beforeAll(async () => {
  rig.server = await RedisServer.start();
  rig.redis = new Redis(rig.server.url);
});
beforeEach(async () => {
  await rig.redis.flushall();
});
afterAll(async () => {
  rig.redis.disconnect();
  await rig.server.kill();
});

const SHORT = { name: '2s', limit: 200, windowMs: 2000 };
const MINUTE = { name: '1m', limit: 5000, windowMs: 60_000 };

/** Sends for some windows. @returns the used fraction of the limit, and the most calls in any window */
async function measure(options: DistantOptions, forMs: number) {
  const { limit, windowMs } = options.limits[0]!;
  const deployment = new DistantBudgets(rig.redis, options);
  await deployment.run(forMs);
  const arrivals = deployment.arrived.map((at) => ({ at }));
  const used = usedAfterFirstWindow(arrivals, { limit, windowMs });
  process.stdout.write(
    `${options.roundTripMs} ms, ${limit}/${options.limits[0]!.name}: ${(used * 100).toFixed(1)} %\n`,
  );
  return { used, most: mostInWindow(arrivals, windowMs) };
}

describe('three replicas with a Redis at a distance of', () => {
  it.each([
    ['0 ms', { roundTripMs: 0 }, SHORT, 20_000, 0.97],
    ['30 ms', { roundTripMs: 30 }, SHORT, 20_000, 0.97],
    ['30 ms', { roundTripMs: 30 }, MINUTE, 100_000, 0.97],
    ['100 ± 40 ms', { roundTripMs: 100, jitterMs: 40 }, SHORT, 20_000, 0.95],
    ['100 ± 40 ms', { roundTripMs: 100, jitterMs: 40 }, MINUTE, 100_000, 0.95],
  ])('%s use the limit and never exceed it', async (_, distance, limit, forMs, least) => {
    const { used, most } = await measure({ ...distance, limits: [limit] }, forMs);
    expect(most).toBeLessThanOrEqual(limit.limit);
    expect(used).toBeGreaterThanOrEqual(least);
  });

  it.each<[string, Partial<DistantOptions>]>([
    ['30 ms and timers that are up to 20 ms late', { lateMs: (send) => (send * 7) % 21 }],
    [
      '30 ms and some calls sent up to 200 ms late',
      { lateMs: (send) => (send % 47 < 5 ? (send * 37) % 201 : 0) },
    ],
    [
      '30 ms and some calls that arrive up to 100 ms late',
      { arriveMs: (send) => 5 + (send % 47 < 5 ? (send * 37) % 101 : 0) },
    ],
  ])('%s never exceed the limit in any window', async (_, disturbance) => {
    const { most } = await measure({ roundTripMs: 30, limits: [SHORT], ...disturbance }, 20_000);
    expect(most).toBeLessThanOrEqual(SHORT.limit);
  });
});
