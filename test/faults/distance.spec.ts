import { describe, expect, it } from '@jest/globals';
import { DelayingProxy, type Distance } from '../support/delaying-proxy.ts';
import { deploy, type Deployment, reader, type Store } from '../support/deployment.ts';
import { jobIds } from '../support/reads.ts';
import { atEnd, startRedis } from '../support/rig.ts';
import { mostInWindow, usedAfterFirstWindow } from '../support/windows.ts';

/** A server that is so far from all gateways. */
function redisAt(distance: Distance) {
  return async (): Promise<Store> => {
    const redis = await startRedis();
    const proxy = await DelayingProxy.start(redis.port, distance);
    atEnd(() => proxy.stop());
    return { redis, env: { REDIS_URL: `redis://127.0.0.1:${proxy.port}` } };
  };
}

/** How often the replicas have left the shared store. */
function timesAway({ gateways }: Deployment): number {
  return gateways.flatMap(({ log }) => log).filter(({ msg }) => msg?.startsWith('Redis connection lost'))
    .length;
}

/** Sees to it that the burst is spent, so that the pace is that of the limit. */
async function readThrough(deployment: Deployment, count: number): Promise<number[]> {
  const read = reader(deployment);
  return Promise.all(jobIds(count).map(async (id) => (await read(id)).status));
}

const NEAR = { roundTripMs: 30 };
const FAR = { roundTripMs: 100, jitterMs: 40 };
const SHORT = { limits: '200/2s', windowMs: 2000, limit: 200, count: 2000 };
/** From its full burst of 2500 on. */
const MINUTE = { limits: '5000/1m', windowMs: 60_000, limit: 5000, count: 7000 };

describe('three replicas with a Redis at a distance of', () => {
  it.each([
    ['30 ms away', NEAR, SHORT, 0.97],
    ['30 ms away', NEAR, MINUTE, 0.97],
    ['100 ms away, and 40 more or less', FAR, SHORT, 0.95],
  ])(
    '%s use of %o %o at least %d, never exceed it, and stay on the shared budget',
    async (name, distance, { limits, limit, windowMs, count }, least) => {
      const deployment = await deploy({ limits, store: redisAt(distance) });
      const seen = await readThrough(deployment, count);
      const calls = await deployment.upstream.recordedCalls();
      const used = usedAfterFirstWindow(calls, { limit, windowMs });
      process.stdout.write(
        `${name}: ${(used * 100).toFixed(1)} % of ${limits}, most in a window ${mostInWindow(calls, windowMs)}, away ${timesAway(deployment)} times\n`,
      );
      expect(seen.filter((status) => status !== 200)).toEqual([]);
      expect(await deployment.upstream.refused()).toBe(0);
      expect(mostInWindow(calls, windowMs)).toBeLessThanOrEqual(limit);
      expect(timesAway(deployment)).toBe(0);
      expect(used).toBeGreaterThanOrEqual(least);
    },
    180_000,
  );
});
