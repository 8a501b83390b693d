import { once } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { BoundedRedis } from '../../src/store/bounded-redis.ts';
import { DelayingProxy } from '../support/delaying-proxy.ts';
import { atEnd, startRedis } from '../support/rig.ts';

async function connected(roundTripMs: number, jitterMs = 0): Promise<BoundedRedis> {
  const server = await startRedis();
  const proxy = await DelayingProxy.start(server.port, { roundTripMs, jitterMs });
  atEnd(() => proxy.stop());
  const redis = new BoundedRedis(proxy.port, '127.0.0.1');
  atEnd(async () => redis.disconnect());
  await once(redis, 'ready');
  return redis;
}

describe('commands to a Redis', () => {
  it('at a distance of 100 ± 40 ms all succeed, from the first on', async () => {
    const redis = await connected(100, 40);
    for (let times = 0; times < 20; times++) await redis.set(`key:${times}`, times);
    expect(redis.roundTrip.timeoutMs).toBeLessThan(400);
  });

  it('succeed although the process was busy for longer than their timeout', async () => {
    const redis = await connected(2);
    await redis.ping();
    const answer = redis.ping();
    // Lets the command be written before the loop blocks.
    await new Promise(setImmediate);
    const end = performance.now() + 500;
    while (performance.now() < end);
    expect(await answer).toBe('PONG');
  });
});
