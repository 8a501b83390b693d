import { beforeEach, describe, expect, it } from '@jest/globals';
import { Subscription, type SubscriptionOptions } from '../../src/store/subscription.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

let clock: VirtualClock;
let lines: string[];
let lost: number;
let heartbeats: number;
/** The behaviour of Redis: whether it is connected, and the fate of a heartbeat. */
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
      warn: (details, message) => lines.push(`${message.split(',')[0]}, ${JSON.stringify(details)}`),
      info: (message) => lines.push(message),
    },
    isStoreReady: () => redis.isReady,
    sendHeartbeat: async () => {
      heartbeats++;
      if (redis.heartbeat === 'is refused') throw new Error('NOPERM no permissions to access a channel');
      if (redis.heartbeat === 'arrives') subscription.messageReceived();
    },
    reconnect: (cause) => subscription.connectionLost(cause),
    onLost: () => lost++,
  };
  subscription = new Subscription(options);
});

async function subscribe(): Promise<void> {
  await clock.advance(100);
  subscription.subscribed();
}

describe('a subscription', () => {
  it('misses nothing between its confirmation and the end of its connection', async () => {
    expect(subscription.since).toBe(Infinity);
    await subscribe();
    expect([subscription.isUp, subscription.since]).toEqual([true, 100]);
    subscription.connectionLost(undefined);
    expect([subscription.isUp, subscription.since, lost]).toEqual([false, Infinity, 1]);
    await clock.advance(50);
    subscription.subscribed();
    expect(subscription.since).toBe(150);
  });

  it('stays up for an hour without messages, with at most two heartbeats a second', async () => {
    await subscribe();
    await clock.advance(3_600_000);
    expect([subscription.since, lost, lines]).toEqual([100, 0, []]);
    expect(heartbeats).toBeLessThanOrEqual(7200);
  });

  it('sends no heartbeat while messages arrive', async () => {
    await subscribe();
    for (let message = 0; message < 100; message++) {
      await clock.advance(400);
      subscription.messageReceived();
    }
    expect(heartbeats).toBe(0);
  });

  it.each([
    ['is lost', 'no message arrives'],
    ['is refused', 'NOPERM'],
  ] as const)('is lost within two seconds when its heartbeat %s', async (heartbeat, reason) => {
    await subscribe();
    redis.heartbeat = heartbeat;
    await clock.advance(2000);
    expect([subscription.isUp, lost]).toEqual([false, 1]);
    expect(lines).toEqual([`Redis pub/sub lost, {"reason":"${reason}"}`]);
  });

  it('logs its loss once, however many attempts fail, and its return once', async () => {
    await subscribe();
    await clock.advance(1000);
    for (let attempt = 0; attempt < 100; attempt++) {
      subscription.connectionLost(new Error('NOPERM this user has no permissions'));
      await clock.advance(1000);
    }
    expect(lines).toEqual(['Redis pub/sub lost, {"reason":"NOPERM"}']);
    expect(lost).toBe(100);
    subscription.subscribed();
    await clock.advance(1000);
    expect(lines.slice(1)).toEqual(['Redis pub/sub restored']);
  });

  it('logs when it cannot be established, but not when that takes a moment', async () => {
    await clock.advance(400);
    subscription.subscribed();
    await clock.advance(5000);
    expect(lines).toEqual([]);
    subscription.end();

    const never = new Subscription({ ...options, log: { ...options.log, info: () => undefined } });
    never.connectionLost(new Error('NOPERM this user has no permissions'));
    await clock.advance(5000);
    never.end();
    expect(lines).toEqual(['Redis pub/sub lost, {"reason":"NOPERM"}']);
  });

  it('logs a loss although it is restored before the next tick', async () => {
    await subscribe();
    await clock.advance(1000);
    subscription.connectionLost(undefined);
    subscription.subscribed();
    await clock.advance(1000);
    expect(lines).toEqual(['Redis pub/sub lost, {"reason":"connection closed"}', 'Redis pub/sub restored']);
  });

  it('logs nothing when it is lost and restored together with the connection of the client', async () => {
    await subscribe();
    await clock.advance(1000);
    redis.isReady = false;
    subscription.connectionLost(undefined);
    await clock.advance(10_000);
    redis.isReady = true;
    subscription.subscribed();
    await clock.advance(10_000);
    expect(lines).toEqual([]);
  });

  it('leaves no timer after its end', async () => {
    await subscribe();
    await clock.advance(1000);
    subscription.end();
    expect(clock.pending).toBe(0);
  });
});
