import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { Copies, type SharedCopies } from '../../src/upstream/copies.ts';
import { type Copy, isFinishedJob } from '../../src/upstream/copy.ts';
import { type ReadResult, type SharedRead, withForecast } from '../../src/upstream/exchange.ts';
import { remainingMs } from '../../src/upstream/freshness.ts';
import { lease } from '../../src/upstream/layers/lease.ts';
import { Ending, failure, sharedRead, fromUpstream, jobCopy, LIFETIMES } from '../support/shared-reads.ts';
import { LEASE_MS, MemoryLeases, type Replica } from '../support/memory-leases.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

interface Call extends PromiseWithResolvers<ReadResult> {
  readonly read: SharedRead;
}

/** A replica with its own memory. The store and the leases are shared. */
interface Gateway {
  readonly replica: Replica;
  readonly calls: Call[];
  readonly copies: Copies;
  begin(options?: Parameters<typeof sharedRead>[1]): {
    readonly read: ReturnType<typeof sharedRead>;
    readonly ending: Ending;
  };
}

/** Longest time that the calls of one read can take. */
const LONGEST_SENT_MS = 61_000;
/** From the end of a lease to the next look at the most. */
const GRAIN_MS = 10;

let clock: VirtualClock;
let leases: MemoryLeases;
let stored: Map<string, Copy>;
let one: Gateway;
let other: Gateway;

/** The shared store: an unfinished job never replaces a finished one. */
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

/** @param waitMs what its queue forecasts */
function gateway(waitMs = 0): Gateway {
  const copies = new Copies({ lifetimes: LIFETIMES, maxBytes: 2 ** 20, shared: sharedCopies(), clock });
  const [calls, replica] = [[] as Call[], leases.replica()];
  const layer = lease({
    copies,
    lifetimes: LIFETIMES,
    leases: replica,
    longestSentMs: LONGEST_SENT_MS,
    clock,
  })(
    withForecast(
      async (read: SharedRead) => {
        const call = { ...Promise.withResolvers<ReadResult>(), read };
        calls.push(call);
        const found = await call.promise;
        return { ...found, copy: await copies.put(read.jobId, found.copy, read.staleCopy) };
      },
      () => ({ waitMs, refusal: () => GatewayError.of('TooManyRequests', { retryAfterMs: 7000 }) }),
    ),
  );
  return {
    replica,
    calls,
    copies,
    begin: (options) => {
      const read = sharedRead(clock, options);
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

/** Both replicas miss the same job; the first gets the lease. */
async function bothMiss(options?: Parameters<typeof sharedRead>[1]) {
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

  it('is not read when the store has it by then', async () => {
    stored.set('a-job', jobCopy('success'));
    const { ending } = one.begin();
    await settled();
    expect([ending.is, ending.found?.source, one.calls.length]).toEqual(['success', 'redis', 0]);
    expect(leases.held.size).toBe(0);
  });

  it('is missing for both, whether that is stored or not', async () => {
    const { follows } = await bothMiss();
    await answer(one, { kind: 'missing', readAt: clock.now() - LIFETIMES.missingMs });
    expect([follows.ending.is, other.calls.length]).toEqual(['missing', 0]);
  });

  it('gives both the error of upstream', async () => {
    const { follows } = await bothMiss();
    one.calls[0]!.reject(failure('final', 403, GatewayError.of('InsufficientPermissions')));
    await settled();
    expect([follows.ending.is, other.calls.length]).toEqual(['InsufficientPermissions', 0]);
  });

  it.each([
    ['has no patience left', GatewayError.of('TooManyRequests')],
    ['gets a 429', failure('rate-limited', 429, GatewayError.of('TooManyRequests'))],
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
  it('is waited for while it renews its lease, however slow it is', async () => {
    const { follows } = await bothMiss();
    await clock.advance(30 * LEASE_MS);
    expect([follows.ending.is, other.calls.length]).toEqual(['pending', 0]);
    await answer(one, jobCopy('active', clock.now()));
    expect(follows.ending.is).toBe('active');
  });

  it('is replaced after its death when its lease expires', async () => {
    const { follows } = await bothMiss();
    one.replica.isAlive = false;
    await clock.advance(LEASE_MS - 1);
    expect(other.calls).toHaveLength(0);
    await clock.advance(1 + GRAIN_MS);
    expect(other.calls).toHaveLength(1);
    await answer(other, jobCopy('active', clock.now()));
    expect(follows.ending.is).toBe('active');
  });

  it('needs no notice: when that is lost, its stored copy is found', async () => {
    const { follows } = await bothMiss();
    leases.deaf = true;
    await answer(one, jobCopy('success', clock.now()));
    expect(follows.ending.is).toBe('pending');
    await clock.advance(LEASE_MS + GRAIN_MS);
    expect([follows.ending.is, other.calls.length, leases.held.size]).toEqual(['success', 0, 0]);
  });

  it('is checked sooner when notices may be missed', async () => {
    [leases.deaf, leases.missesWords] = [true, true];
    const { follows } = await bothMiss();
    await answer(one, jobCopy('success', clock.now()));
    await clock.advance(100);
    expect([follows.ending.is, other.calls.length, leases.held.size]).toEqual(['success', 0, 0]);
  });

  it('is replaced when it claims a call for longer than calls take', async () => {
    const { follows } = await bothMiss();
    one.calls[0]!.read.state.call();
    await clock.advance(LONGEST_SENT_MS - 1000);
    expect(other.calls).toHaveLength(0);
    await clock.advance(2000);
    expect(other.calls).toHaveLength(1);
    await answer(other, jobCopy('active', clock.now()));
    expect(follows.ending.is).toBe('active');
  });
});

describe('a waiter at another replica', () => {
  it('is refused alone when its patience ends while the read is queued there', async () => {
    const { follows } = await bothMiss({ patienceMs: 1000 });
    await clock.advance(999);
    expect(follows.read.refused).toEqual([]);
    await clock.advance(1);
    expect(follows.read.refused.map(({ options }) => options.retryAfterMs)).toEqual([7000]);
  });

  it('spends no patience while the call is under way, and spends it again after a failure', async () => {
    const { follows } = await bothMiss({ patienceMs: 1000 });
    await clock.advance(600);
    one.calls[0]!.read.state.call();
    await clock.advance(60_000);
    expect(follows.read.refused).toEqual([]);
    one.calls[0]!.read.state.queue();
    await clock.advance(399);
    expect(follows.read.refused).toEqual([]);
    await clock.advance(1);
    expect(follows.read.refused).toHaveLength(1);
  });

  it('is told when the call is expected there', async () => {
    one = gateway(3000);
    const expected: number[] = [];
    await bothMiss({ observer: { onExpectedWait: (ms) => expected.push(ms) } });
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

describe('a revalidation', () => {
  it('joins the read of another replica whose call is not sent yet', async () => {
    const { follows } = await bothMiss({ mustRevalidate: true });
    await clock.advance(100);
    await answer(one, jobCopy('active', clock.now()));
    expect([follows.ending.is, other.calls.length]).toEqual(['active', 0]);
  });

  it('makes its own call when the other has been sent, and tells the others that the job is finished', async () => {
    const leads = one.begin();
    await settled();
    one.calls[0]!.read.state.call();
    await clock.advance(100);
    const alone = other.begin({ mustRevalidate: true, askedAt: clock.now() });
    await settled();
    expect(other.calls).toHaveLength(1);
    await answer(other, jobCopy('success', clock.now()));
    expect(alone.ending.is).toBe('success');
    await answer(one, jobCopy('active', 0));
    expect(leads.ending.is).toBe('success');
  });
});

describe('a store that does not answer', () => {
  it('keeps no replica from reading', async () => {
    leases.isDown = true;
    const readers = [one.begin(), other.begin()];
    await settled();
    expect([one.calls.length, other.calls.length]).toEqual([1, 1]);
    await answer(one, jobCopy('active'));
    await answer(other, jobCopy('active'));
    expect(readers.map(({ ending }) => ending.is)).toEqual(['active', 'active']);
  });
});
