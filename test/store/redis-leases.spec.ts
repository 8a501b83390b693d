import { beforeEach, describe, expect, it } from '@jest/globals';
import { RedisLeases } from '../../src/store/redis-leases.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

const LIFE_MS = 2000;

let clock: VirtualClock;
/** When the lease was prolonged, and with which phase. */
let prolonged: [at: number, phase: unknown][];
let published: string[];
/** What a claim finds. */
let found: unknown[];
let faults: number;
let leases: RedisLeases;

beforeEach(() => {
  clock = new VirtualClock();
  [prolonged, published, found, faults] = [[], [], [], 0];
  const redis = {
    eval: async (script: string, _keys: number, _key: string, ...args: unknown[]) => {
      if (script.includes("'TIME'")) return found;
      if (!script.includes("'DEL'")) prolonged.push([clock.now(), args[2]]);
      return null;
    },
    publish: async (_channel: string, message: string) => published.push(message),
  };
  leases = new RedisLeases({
    redis: redis as never,
    keyPrefix: 'prefix:',
    channel: 'flights',
    onFault: () => faults++,
    onAnswered: () => undefined,
    clock,
  });
});

async function claimed() {
  const claim = await leases.claim('a-job', 0);
  if (claim.kind !== 'lease') throw new Error(`not a lease: ${claim.kind}`);
  return claim.lease;
}

describe('a lease in Redis', () => {
  it('is prolonged well within its life for as long as it is held, and not after', async () => {
    const lease = await claimed();
    await clock.advance(10 * LIFE_MS);
    const times = [0, ...prolonged.map(([at]) => at)];
    const gaps = times.slice(1).map((at, index) => at - times[index]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(LIFE_MS / 2);
    expect(times.at(-1)).toBe(10 * LIFE_MS);
    await lease.release({ kind: 'free' });
    const count = prolonged.length;
    await clock.advance(10 * LIFE_MS);
    expect([prolonged.length, clock.pending]).toEqual([count, 0]);
    expect(published).toEqual(['a-job {"kind":"free"}']);
  });

  it('says in Redis and to the others when its call is sent, and when it has to be made again', async () => {
    const lease = await claimed();
    lease.sent();
    lease.waitsAgain();
    expect(prolonged.map(([, phase]) => phase)).toEqual(['sent', 'waiting']);
    expect(published).toEqual(['a-job {"kind":"sent"}', 'a-job {"kind":"waiting"}']);
    await lease.release({ kind: 'free' });
  });

  it('of another replica is told of with what is left of it', async () => {
    found = ['other 1234 sent', 700, -50];
    expect(await leases.claim('a-job', 0)).toEqual({
      kind: 'taken',
      sent: true,
      endsInMs: 700,
      expectedMs: 0,
    });
    found = ['other 1234', 0, 300];
    expect(await leases.claim('a-job', 0)).toEqual({
      kind: 'taken',
      sent: false,
      endsInMs: 1,
      expectedMs: 300,
    });
    expect(clock.pending).toBe(0);
  });
});

describe('word of a flight', () => {
  const wait = { onSent: () => undefined, onWaiting: () => undefined };

  it('ends the wait for it, one that came before the wait included', async () => {
    const news = leases.listen('a-job');
    leases.heard('a-job', { kind: 'stored', finished: true, missing: false });
    const { signal } = new AbortController();
    expect(await news.outcome({ withinMs: LIFE_MS, signal, ...wait })).toMatchObject({ kind: 'stored' });
    expect([news.finished, clock.pending]).toEqual([true, 0]);
  });

  it('is waited for no longer than the lease may live', async () => {
    const { signal } = new AbortController();
    let outcome: unknown = 'pending';
    void leases
      .listen('a-job')
      .outcome({ withinMs: 700, signal, ...wait })
      .then((said) => (outcome = said));
    await clock.advance(699);
    expect(outcome).toBe('pending');
    await clock.advance(1);
    expect(outcome).toBeUndefined();
  });

  it('is waited for by nobody who has gone', async () => {
    const cancel = new AbortController();
    const waiting = leases.listen('a-job').outcome({ withinMs: 700, signal: cancel.signal, ...wait });
    cancel.abort();
    await expect(waiting).rejects.toThrow('the caller has gone');
    await settled();
    expect(clock.pending).toBe(0);
  });
});
