import { beforeEach, describe, expect, it } from '@jest/globals';
import { Subscription, type SubscriptionOptions } from '../../src/store/subscription.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

let clock: VirtualClock;
let lines: string[];
let lost: number;
let heartbeats: number;
/** What Redis does: whether it is there, and what becomes of a heartbeat. */
let redis: { isReady: boolean; heartbeat: 'arrives' | 'is lost' | 'is refused' };
let options: SubscriptionOptions;
let subscription: Subscription;

beforeEach(() => {
  clock = new VirtualClock();
  lines = [];
  lost = 0;
  heartbeats = 0;
  redis = { isReady: true, heartbeat: 'arrives' };
  options = {
    clock,
    log: {
      warn: (details, message) => lines.push(`${message.split(':')[0]}, ${JSON.stringify(details)}`),
      info: (message) => lines.push(message),
    },
    isStoreReady: () => redis.isReady,
    sendHeartbeat: async () => {
      heartbeats++;
      if (redis.heartbeat === 'is refused') throw new Error('NOPERM no permissions to access a channel');
      if (redis.heartbeat === 'arrives') subscription.heard();
    },
    reconnect: (cause) => subscription.lost(cause),
    onLost: () => lost++,
  };
  subscription = new Subscription(options);
});

async function confirmed(): Promise<void> {
  await clock.advance(100);
  subscription.confirmed();
}

describe('a subscription', () => {
  it('has missed nothing since it was confirmed, and may miss everything from when its connection closed', async () => {
    expect(subscription.since).toBe(Infinity);
    await confirmed();
    expect([subscription.isUp, subscription.since]).toEqual([true, 100]);
    subscription.lost(undefined);
    expect([subscription.isUp, subscription.since, lost]).toEqual([false, Infinity, 1]);
    await clock.advance(50);
    subscription.confirmed();
    expect(subscription.since).toBe(150);
  });

  it('stays up for an hour of silence, at two heartbeats a second at most', async () => {
    await confirmed();
    await clock.advance(3_600_000);
    expect([subscription.since, lost, lines]).toEqual([100, 0, []]);
    expect(heartbeats).toBeLessThanOrEqual(7200);
  });

  it('sends no heartbeat while others are heard', async () => {
    await confirmed();
    for (let message = 0; message < 100; message++) {
      await clock.advance(400);
      subscription.heard();
    }
    expect(heartbeats).toBe(0);
  });

  it.each([
    ['is lost', 'no message arrives'],
    ['is refused', 'NOPERM'],
  ] as const)('is lost within two seconds when its heartbeat %s', async (heartbeat, reason) => {
    await confirmed();
    redis.heartbeat = heartbeat;
    await clock.advance(2000);
    expect([subscription.isUp, lost]).toEqual([false, 1]);
    expect(lines).toEqual([`redis pub/sub is away, {"reason":"${reason}"}`]);
  });

  it('is logged once when it goes, however often it fails to come back, and once when it is back', async () => {
    await confirmed();
    await clock.advance(1000);
    for (let attempt = 0; attempt < 100; attempt++) {
      subscription.lost(new Error('NOPERM this user has no permissions'));
      await clock.advance(1000);
    }
    expect(lines).toEqual(['redis pub/sub is away, {"reason":"NOPERM"}']);
    expect(lost).toBe(100);
    subscription.confirmed();
    await clock.advance(1000);
    expect(lines.slice(1)).toEqual(['redis pub/sub is back']);
  });

  it('is logged when it does not come about, and not when it takes a moment', async () => {
    await clock.advance(400);
    subscription.confirmed();
    await clock.advance(5000);
    expect(lines).toEqual([]);
    subscription.end();

    const never = new Subscription({ ...options, log: { ...options.log, info: () => undefined } });
    never.lost(new Error('NOPERM this user has no permissions'));
    await clock.advance(5000);
    never.end();
    expect(lines).toEqual(['redis pub/sub is away, {"reason":"NOPERM"}']);
  });

  it('is logged although it is back before anybody looks', async () => {
    await confirmed();
    await clock.advance(1000);
    subscription.lost(undefined);
    subscription.confirmed();
    await clock.advance(1000);
    expect(lines).toEqual(['redis pub/sub is away, {"reason":"connection closed"}', 'redis pub/sub is back']);
  });

  it('is not logged when it goes and comes with Redis itself', async () => {
    await confirmed();
    await clock.advance(1000);
    redis.isReady = false;
    subscription.lost(undefined);
    await clock.advance(10_000);
    redis.isReady = true;
    subscription.confirmed();
    await clock.advance(10_000);
    expect(lines).toEqual([]);
  });

  it('leaves nothing behind at its end', async () => {
    await confirmed();
    await clock.advance(1000);
    subscription.end();
    expect(clock.pending).toBe(0);
  });
});
