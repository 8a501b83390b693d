import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { Copies, type SharedCopies } from '../../src/upstream/copies.ts';
import { type Copy, isFinishedJob } from '../../src/upstream/copy.ts';
import type { SharedRead, ReadResult } from '../../src/upstream/exchange.ts';
import { remainingMs } from '../../src/upstream/freshness.ts';
import { lease } from '../../src/upstream/layers/lease.ts';
import { Ending, failure, flight, fromUpstream, jobCopy, LIFETIMES } from '../support/flights.ts';
import { LEASE_MS, MemoryLeases, type Replica } from '../support/memory-leases.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

interface Call extends PromiseWithResolvers<ReadResult> {
  readonly read: SharedRead;
}

/** A replica: its own memory, the store and the leases of all. */
interface Gateway {
  readonly replica: Replica;
  readonly calls: Call[];
  readonly copies: Copies;
  begin(options?: Parameters<typeof flight>[1]): {
    readonly read: ReturnType<typeof flight>;
    readonly ending: Ending;
  };
}

/** How long the calls of one read can take. */
const LONGEST_SENT_MS = 61_000;
/** A lease is looked at again no later than so long after its end. */
const GRAIN_MS = 10;

let clock: VirtualClock;
let leases: MemoryLeases;
let stored: Map<string, Copy>;
let one: Gateway;
let other: Gateway;

/** What all replicas share: what is not finished does not replace what is. */
function sharedCopies(): SharedCopies {
  return {
    get: async (jobId) => {
      const copy = stored.get(jobId);
      return copy && remainingMs(copy, LIFETIMES, clock.now()) > 0 ? copy : undefined;
    },
    put: async (jobId, copy) => {
      const before = stored.get(jobId);
      if (before && isFinishedJob(before) && !isFinishedJob(copy)) return before;
      stored.set(jobId, copy);
      return copy;
    },
    drop: async (jobId) => void stored.delete(jobId),
  };
}

function gateway(forecastMs = 0): Gateway {
  const copies = new Copies({ lifetimes: LIFETIMES, maxBytes: 2 ** 20, shared: sharedCopies(), clock });
  const [calls, replica] = [[] as Call[], leases.replica()];
  const layer = lease({
    copies,
    lifetimes: LIFETIMES,
    leases: replica,
    forecastMs: () => forecastMs,
    refusal: () => GatewayError.of('TooManyRequests', { retryAfterMs: 7000 }),
    longestSentMs: LONGEST_SENT_MS,
    clock,
  })(async (read) => {
    const call = { ...Promise.withResolvers<ReadResult>(), read };
    calls.push(call);
    const found = await call.promise;
    return { ...found, copy: await copies.put(read.jobId, found.copy, read.staleCopy) };
  });
  return {
    replica,
    calls,
    copies,
    begin: (options) => {
      const read = flight(clock, options);
      return { read, ending: new Ending(layer(read)) };
    },
  };
}

beforeEach(() => {
  clock = new VirtualClock();
  leases = new MemoryLeases(clock);
  stored = new Map();
  one = gateway();
  other = gateway();
});

async function answer({ calls }: Gateway, copy: Copy): Promise<void> {
  calls.at(-1)!.resolve(fromUpstream(copy));
  await settled();
}

/** Both replicas miss the same job; the first has its lease. */
async function bothMiss(options?: Parameters<typeof flight>[1]) {
  const leads = one.begin();
  await settled();
  const follows = other.begin(options);
  await settled();
  expect([one.calls.length, other.calls.length]).toEqual([1, 0]);
  return { leads, follows };
}

describe('a job that two replicas miss', () => {
  it('is read by one call, which answers both', async () => {
    const { leads, follows } = await bothMiss();
    await answer(one, jobCopy('success'));
    expect([leads.ending.is, follows.ending.is]).toEqual(['success', 'success']);
    expect([leads.ending.found?.collapsed, follows.ending.found?.collapsed]).toEqual([false, true]);
    expect([follows.ending.found?.source, other.calls.length, leases.held.size]).toEqual(['upstream', 0, 0]);
    expect(clock.pending).toBe(0);
  });

  it('is not read at all when the store has it by then', async () => {
    stored.set('a-job', jobCopy('success'));
    const { ending } = one.begin();
    await settled();
    expect([ending.is, ending.found?.source, one.calls.length]).toEqual(['success', 'redis', 0]);
    expect(leases.held.size).toBe(0);
  });

  it('is known to be missing at both, remembered or not', async () => {
    const { follows } = await bothMiss();
    await answer(one, { kind: 'missing', readAt: clock.now() - LIFETIMES.missingMs });
    expect([follows.ending.is, other.calls.length]).toEqual(['missing', 0]);
  });

  it('brings both the error that upstream said', async () => {
    const { follows } = await bothMiss();
    one.calls[0]!.reject(failure('final', 403, GatewayError.of('InsufficientPermissions')));
    await settled();
    expect([follows.ending.is, other.calls.length]).toEqual(['InsufficientPermissions', 0]);
  });

  it.each([
    ['has no patience left', GatewayError.of('TooManyRequests')],
    ['is told to wait by a 429', failure('rate-limited', 429, GatewayError.of('TooManyRequests'))],
  ])('is read by the second when the first %s', async (_, error) => {
    const { follows } = await bothMiss();
    one.calls[0]!.reject(error);
    await settled();
    expect(other.calls).toHaveLength(1);
    await answer(other, jobCopy('active', clock.now()));
    expect(follows.ending.is).toBe('active');
  });
});

describe('the holder of a lease', () => {
  it('is waited for as long as it lives, however slow', async () => {
    const { follows } = await bothMiss();
    await clock.advance(30 * LEASE_MS);
    expect([follows.ending.is, other.calls.length]).toEqual(['pending', 0]);
    await answer(one, jobCopy('active', clock.now()));
    expect(follows.ending.is).toBe('active');
  });

  it('is replaced when it dies, once its lease has run out', async () => {
    const { follows } = await bothMiss();
    one.replica.isAlive = false;
    await clock.advance(LEASE_MS - 1);
    expect(other.calls).toHaveLength(0);
    await clock.advance(1 + GRAIN_MS);
    expect(other.calls).toHaveLength(1);
    await answer(other, jobCopy('active', clock.now()));
    expect(follows.ending.is).toBe('active');
  });

  it('is believed by what it has stored when its word is lost', async () => {
    const { follows } = await bothMiss();
    leases.deaf = true;
    await answer(one, jobCopy('success', clock.now()));
    expect(follows.ending.is).toBe('pending');
    await clock.advance(LEASE_MS + GRAIN_MS);
    expect([follows.ending.is, other.calls.length, leases.held.size]).toEqual(['success', 0, 0]);
  });

  it('is looked after much sooner when it is known that its word may be lost', async () => {
    [leases.deaf, leases.missesWords] = [true, true];
    const { follows } = await bothMiss();
    await answer(one, jobCopy('success', clock.now()));
    await clock.advance(100);
    expect([follows.ending.is, other.calls.length, leases.held.size]).toEqual(['success', 0, 0]);
  });

  it('is not believed that its call is out for longer than calls take', async () => {
    const { follows } = await bothMiss();
    one.calls[0]!.read.onSent();
    await clock.advance(LONGEST_SENT_MS - 1000);
    expect(other.calls).toHaveLength(0);
    await clock.advance(2000);
    expect(other.calls).toHaveLength(1);
    await answer(other, jobCopy('active', clock.now()));
    expect(follows.ending.is).toBe('active');
  });
});

describe('a waiter at another replica', () => {
  it('is refused alone when its patience ends while the read stands in line there', async () => {
    const { follows } = await bothMiss({ patienceMs: 1000 });
    await clock.advance(999);
    expect(follows.read.refused).toEqual([]);
    await clock.advance(1);
    expect(follows.read.refused.map(({ options }) => options.retryAfterMs)).toEqual([7000]);
  });

  it('needs no patience once the call has been sent, and needs it again when it failed', async () => {
    const { follows } = await bothMiss({ patienceMs: 1000 });
    await clock.advance(600);
    one.calls[0]!.read.onSent();
    await clock.advance(60_000);
    expect(follows.read.refused).toEqual([]);
    one.calls[0]!.read.onQueued();
    await clock.advance(399);
    expect(follows.read.refused).toEqual([]);
    await clock.advance(1);
    expect(follows.read.refused).toHaveLength(1);
  });

  it('knows when the call is expected there', async () => {
    one = gateway(3000);
    const expected: number[] = [];
    await bothMiss({ progress: { onExpectedWait: (ms) => expected.push(ms), onSent: () => undefined } });
    expect(expected).toEqual([3000]);
  });

  it('stops listening when it goes away', async () => {
    const { follows } = await bothMiss();
    follows.read.cancel.abort();
    await settled();
    expect([follows.ending.is, leases.listeners.get('a-job')?.size]).toEqual(['CallerGone', 1]);
    expect(clock.pending).toBe(0);
  });
});

describe('a strict read', () => {
  it('joins a call of another replica that is not sent yet', async () => {
    const { follows } = await bothMiss({ mustRevalidate: true });
    await clock.advance(100);
    await answer(one, jobCopy('active', clock.now()));
    expect([follows.ending.is, other.calls.length]).toEqual(['active', 0]);
  });

  it('goes alone where that has been sent, and tells the others of a job’s end', async () => {
    const leads = one.begin();
    await settled();
    one.calls[0]!.read.onSent();
    await clock.advance(100);
    const alone = other.begin({ mustRevalidate: true, askedAt: clock.now() });
    await settled();
    expect(other.calls).toHaveLength(1);
    await answer(other, jobCopy('success', clock.now()));
    expect(alone.ending.is).toBe('success');
    expect(one.calls[0]!.read.finishedElsewhere?.()).toBe(true);
    await answer(one, jobCopy('active', 0));
    expect(leads.ending.is).toBe('success');
  });
});

describe('a store that does not say who has the lease', () => {
  it('keeps nobody from reading', async () => {
    leases.isDown = true;
    const readers = [one.begin(), other.begin()];
    await settled();
    expect([one.calls.length, other.calls.length]).toEqual([1, 1]);
    await answer(one, jobCopy('active'));
    await answer(other, jobCopy('active'));
    expect(readers.map(({ ending }) => ending.is)).toEqual(['active', 'active']);
  });
});
