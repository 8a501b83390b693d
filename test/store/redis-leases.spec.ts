import { beforeEach, describe, expect, it } from '@jest/globals';
import { encodeMessage } from '../../src/store/replica-messages.ts';
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
/** What was found that cannot be ours. */
let spoilt: string[];
/** Since when no notice can have been missed. */
let announcedSince: number;
let leases: RedisLeases;

beforeEach(() => {
  clock = new VirtualClock();
  [prolonged, published, found, faults, spoilt] = [[], [], [0], 0, []];
  announcedSince = 0;
  const redis = {
    eval: async (script: string, _keys: number, _key: string, ...args: unknown[]) => {
      if (script.includes("'TIME'")) return found;
      if (!script.includes("'DEL'")) prolonged.push([clock.now(), args[2]]);
      return null;
    },
  };
  leases = new RedisLeases({
    redis: redis as never,
    keyPrefix: 'prefix:',
    announcer: { announce: async (jobId, said) => void published.push(encodeMessage(jobId, said)) },
    onFault: () => faults++,
    onSpoilt: (what) => spoilt.push(what),
    announcedSince: () => announcedSince,
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
    lease.queued();
    expect(prolonged.map(([, phase]) => phase)).toEqual(['sent', 'waiting']);
    expect(published).toEqual(['a-job {"kind":"sent"}', 'a-job {"kind":"waiting"}']);
    await lease.release({ kind: 'free' });
  });

  it('of another replica is told of with what is left of it', async () => {
    found = [0, 'other', 'sent', 700, -50];
    expect(await leases.claim('a-job', 0)).toEqual({
      kind: 'taken',
      holder: 'other',
      sent: true,
      endsInMs: 700,
      expectedMs: 0,
    });
    found = [0, 'other', '', 0, 300];
    expect(await leases.claim('a-job', 0)).toEqual({
      kind: 'taken',
      holder: 'other',
      sent: false,
      endsInMs: 1,
      expectedMs: 300,
    });
    expect(clock.pending).toBe(0);
  });

  it('that cannot be one, or is not believed any more, is told of and taken', async () => {
    found = [1];
    for (const replaced of [undefined, 'other']) {
      const claim = await leases.claim('a-job', 0, replaced);
      if (claim.kind === 'lease') await claim.lease.release({ kind: 'free' });
      found = [0];
    }
    expect(spoilt).toEqual(['lease', 'lease']);
    found = [0, 'other', 'sent', 700, 0];
    expect((await leases.claim('a-job', 0, 'another')).kind).toBe('taken');
    expect([spoilt.length, faults, clock.pending]).toEqual([2, 0, 0]);
  });
});

describe('word of a flight', () => {
  const wait = { onSent: () => undefined, onQueued: () => undefined };

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

  it('is not waited for any longer once it may be missed', async () => {
    const news = leases.listen('a-job');
    expect(news.isComplete).toBe(true);
    const { signal } = new AbortController();
    const waiting = news.outcome({ withinMs: LIFE_MS, signal, ...wait });
    announcedSince = Infinity;
    leases.interrupt();
    expect([await waiting, news.isComplete, clock.pending]).toEqual([undefined, false, 0]);
    await clock.advance(100);
    announcedSince = 50;
    // What was missed by who began to listen before is missed.
    expect([news.isComplete, leases.listen('a-job').isComplete]).toEqual([false, true]);
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
