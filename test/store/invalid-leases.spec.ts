import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { leaseKey, RedisLeases } from '../../src/store/redis-leases.ts';
import { RedisServer } from '../support/redis.ts';

const rig = {} as { server: RedisServer; redis: Redis };
beforeAll(async () => {
  rig.server = await RedisServer.start();
  rig.redis = new Redis(rig.server.url);
});
afterAll(async () => {
  rig.redis.disconnect();
  await rig.server.kill();
});

describe('a lease in Redis', () => {
  const invalid: [string, (key: string) => Promise<unknown>][] = [
    ['without an expiry', (key) => rig.redis.persist(key)],
    // Longer than the longest timer of Node, which would then fire at once.
    ['that expires in a month', (key) => rig.redis.pexpire(key, 31 * 86_400_000)],
  ];

  it.each(invalid)('%s is held no longer than any other', async (_, makeInvalid) => {
    const key = leaseKey('p:', 'job');
    await rig.redis.set(key, `other ${Date.now()} waiting`);
    await makeInvalid(key);
    const leases = new RedisLeases({
      redis: rig.redis,
      keyPrefix: 'p:',
      announcer: { announce: () => Promise.resolve() },
      onFault: (_operation, error) => {
        throw error;
      },
      onInvalidValue: () => undefined,
      announcedSince: () => 0,
      onAnswered: () => undefined,
    });
    const claim = await leases.claim('job', 0);
    expect(claim).toMatchObject({ kind: 'taken', endsInMs: 2000 });
    const leftMs = await rig.redis.pttl(key);
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(2000);
  });
});
