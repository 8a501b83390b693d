import { beforeEach, describe, expect, it } from '@jest/globals';
import { encodeMessage } from '../../src/store/replica-messages.ts';
import { RedisLeases } from '../../src/store/redis-leases.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

const LIFE_MS = 2000;

let clock: VirtualClock;
/** When the lease was extended, and with which phase. */
let extended: [at: number, phase: unknown][];
let published: string[];
/** The reply to a claim. */
let reply: unknown[];
let faults: number;
/** Kinds of the invalid values reported. */
let invalid: string[];
/** Since when no message can have been missed. */
let announcedSince: number;
let leases: RedisLeases;

beforeEach(() => {
  clock = new VirtualClock();
  [extended, published, reply, faults, invalid] = [[], [], [0], 0, []];
  announcedSince = 0;
  const redis = {
    eval: async (script: string, _keys: number, _key: string, ...args: unknown[]) => {
      if (script.includes("'TIME'")) return reply;
      if (!script.includes("'DEL'")) extended.push([clock.now(), args[2]]);
      return null;
    },
  };
  leases = new RedisLeases({
    redis: redis as never,
    keyPrefix: 'prefix:',
    announcer: { announce: async (jobId, said) => void published.push(encodeMessage(jobId, said)) },
    onFault: () => faults++,
    onInvalidValue: (what) => invalid.push(what),
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
  it('is extended well within its lifetime while it is held, and not after', async () => {
    const lease = await claimed();
    await clock.advance(10 * LIFE_MS);
    const times = [0, ...extended.map(([at]) => at)];
    const gaps = times.slice(1).map((at, index) => at - times[index]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(LIFE_MS / 2);
    expect(times.at(-1)).toBe(10 * LIFE_MS);
    await lease.release({ kind: 'free' });
    const count = extended.length;
    await clock.advance(10 * LIFE_MS);
    expect([extended.length, clock.pending]).toEqual([count, 0]);
    expect(published).toEqual(['a-job {"kind":"free"}']);
  });

  it('publishes when its call is sent, and when it is queued again', async () => {
    const lease = await claimed();
    lease.sent();
    lease.queued();
    expect(extended.map(([, phase]) => phase)).toEqual(['sent', 'waiting']);
    expect(published).toEqual(['a-job {"kind":"sent"}', 'a-job {"kind":"waiting"}']);
    await lease.release({ kind: 'free' });
  });

  it('of another replica is reported with its remaining lifetime', async () => {
    reply = [0, 'other', 'sent', 700, -50];
    expect(await leases.claim('a-job', 0)).toEqual({
      kind: 'taken',
      holder: 'other',
      sent: true,
      endsInMs: 700,
      expectedMs: 0,
    });
    reply = [0, 'other', '', 0, 300];
    expect(await leases.claim('a-job', 0)).toEqual({
      kind: 'taken',
      holder: 'other',
      sent: false,
      endsInMs: 1,
      expectedMs: 300,
    });
    expect(clock.pending).toBe(0);
  });

  it('that is invalid, or can be taken over, is reported and replaced', async () => {
    reply = [1];
    for (const replaced of [undefined, 'other']) {
      const claim = await leases.claim('a-job', 0, replaced);
      if (claim.kind === 'lease') await claim.lease.release({ kind: 'free' });
      reply = [0];
    }
    expect(invalid).toEqual(['lease', 'lease']);
    reply = [0, 'other', 'sent', 700, 0];
    expect((await leases.claim('a-job', 0, 'another')).kind).toBe('taken');
    expect([invalid.length, faults, clock.pending]).toEqual([2, 0, 0]);
  });
});

describe('a message about a shared read', () => {
  const wait = { onSent: () => undefined, onQueued: () => undefined };

  it('ends a wait that begins after it, too', async () => {
    const events = leases.listen('a-job');
    leases.receive('a-job', { kind: 'stored', finished: true, missing: false });
    const { signal } = new AbortController();
    expect(await events.outcome({ withinMs: LIFE_MS, signal, ...wait })).toMatchObject({ kind: 'stored' });
    expect([events.finished, clock.pending]).toEqual([true, 0]);
  });

  it('is awaited no longer than the lease can live', async () => {
    const { signal } = new AbortController();
    let outcome: unknown = 'pending';
    void leases
      .listen('a-job')
      .outcome({ withinMs: 700, signal, ...wait })
      .then((ended) => (outcome = ended));
    await clock.advance(699);
    expect(outcome).toBe('pending');
    await clock.advance(1);
    expect(outcome).toBeUndefined();
  });

  it('is not awaited any more once it may be missed', async () => {
    const events = leases.listen('a-job');
    expect(events.isComplete).toBe(true);
    const { signal } = new AbortController();
    const waiting = events.outcome({ withinMs: LIFE_MS, signal, ...wait });
    announcedSince = Infinity;
    leases.interrupt();
    expect([await waiting, events.isComplete, clock.pending]).toEqual([undefined, false, 0]);
    await clock.advance(100);
    announcedSince = 50;
    // A listener from before the gap may have missed messages.
    expect([events.isComplete, leases.listen('a-job').isComplete]).toEqual([false, true]);
  });

  it('is not awaited any more after an abort', async () => {
    const cancel = new AbortController();
    const waiting = leases.listen('a-job').outcome({ withinMs: 700, signal: cancel.signal, ...wait });
    cancel.abort();
    await expect(waiting).rejects.toThrow('the caller has gone');
    await settled();
    expect(clock.pending).toBe(0);
  });
});
