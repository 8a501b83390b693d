import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import type { Exchange, SharedRead, ReadResult } from '../../src/upstream/exchange.ts';
import { Throttle } from '../../src/upstream/layers/throttle.ts';
import type { ThrottleOptions } from '../../src/upstream/throttle-options.ts';
import { Ending, failure, sharedRead, fromUpstream, jobCopy } from '../support/shared-reads.ts';
import { ObedientBudget } from '../support/obedient-budget.ts';
import { until } from '../support/until.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

interface Call extends PromiseWithResolvers<ReadResult> {
  readonly read: SharedRead;
}

let clock: VirtualClock;
let budget: ObedientBudget;
let calls: Call[];
let throttle: Throttle;
let send: Exchange<SharedRead>;
/** How long each read has waited in the queue. */
let waits: number[];
let ready: () => Promise<unknown>;
let begun: ReturnType<typeof sharedRead>[];

beforeEach(() => {
  ready = async () => undefined;
  begun = [];
  start();
});

/** Ends all slots: their timers run in real time. */
afterEach(async () => {
  throttle.end();
  for (const { cancel } of begun) cancel.abort();
  await clock.advance(2000);
});

function start(options: Partial<ThrottleOptions> = {}, heedsAbort = true): void {
  clock = new VirtualClock();
  budget = new ObedientBudget(clock);
  [calls, waits] = [[], []];
  const usual = { concurrency: 2, queueLimit: 100, callerLimit: 100, callMs: 30_000 };
  const own = { ready: () => ready(), onSlot: (ms: number) => waits.push(ms), ...options };
  throttle = new Throttle(budget, { ...usual, ...own }, clock);
  send = throttle.layer((read) => {
    const call = { ...Promise.withResolvers<ReadResult>(), read };
    if (heedsAbort)
      read.cancellation.signal.addEventListener('abort', () => call.reject(new Error('cancelled')));
    calls.push(call);
    return call.promise;
  });
}

function begin(options?: Parameters<typeof sharedRead>[1]) {
  const read = sharedRead(clock, options);
  begun.push(read);
  return { read, ending: new Ending(send(read)) };
}

/** Bottleneck takes a few real milliseconds to start a slot. */
const untilSent = (count: number): Promise<void> =>
  until(`${count} are sent`, () => calls.length >= count, 20_000);
const untilAsked = (count: number): Promise<void> =>
  until(`${count} times asked`, () => budget.askedAt.length >= count, 20_000);
const answer = (call: Call): void => call.resolve(fromUpstream(jobCopy('active')));

describe('a read', () => {
  it('is sent with a permit of the budget, which is told when the request was written', async () => {
    const { ending } = begin();
    await untilSent(1);
    expect(budget.askedAt).toHaveLength(1);
    expect(budget.written).toBe(0);
    calls[0]!.read.onRequestSent?.();
    expect(budget.written).toBe(1);
    answer(calls[0]!);
    await settled();
    expect([ending.is, throttle.depth]).toEqual(['active', 0]);
  });

  it('is not sent without a permit; the budget is asked again when it said', async () => {
    budget.permits = 0;
    begin();
    await untilAsked(1);
    await clock.advance(499);
    expect([budget.askedAt, calls.length]).toEqual([[0], 0]);
    budget.permits = 1;
    await clock.advance(1);
    await untilSent(1);
    expect([budget.askedAt, waits]).toEqual([[0, 500], [500]]);
  });

  it('waits while UPSTREAM_CONCURRENCY calls are under way', async () => {
    for (let count = 0; count < 5; count++) begin();
    await untilSent(2);
    await clock.advance(100);
    expect([calls.length, budget.granted, throttle.depth]).toEqual([2, 2, 3]);
    answer(calls[0]!);
    await untilSent(3);
    expect([calls.length, throttle.depth]).toEqual([3, 2]);
  });

  it('costs no permit when it has left the queue before its turn', async () => {
    budget.permits = 0;
    const { read, ending } = begin();
    await untilAsked(1);
    read.cancel.abort();
    await settled();
    expect([ending.is, throttle.depth]).toEqual(['CallerGone', 0]);
    budget.permits = 1;
    await clock.advance(500);
    expect([calls.length, budget.permits]).toEqual([0, 1]);
    begin();
    await untilSent(1);
  });

  it('that is retried is sent before other reads of its caller', async () => {
    budget.permits = 0;
    for (const jobId of ['first', 'second']) begin({ jobId });
    begin({ jobId: 'retry', isRetry: true });
    await untilAsked(1);
    budget.permits = Infinity;
    await clock.advance(500);
    await untilSent(2);
    expect(calls.map(({ read }) => read.jobId)).toEqual(['retry', 'first']);
  });

  it.each([true, false])(
    'that does not end is timed out and gives its slot to the next (its call heeds the abort: %s)',
    async (heedsAbort) => {
      start({ concurrency: 1, callMs: 50 }, heedsAbort);
      const [hanging, next] = [begin(), begin()];
      await untilSent(1);
      expect(hanging.ending.is).toBe('pending');
      await untilSent(2);
      expect([hanging.ending.is, calls[0]!.read.cancellation.signal.aborted]).toEqual([
        'UpstreamTimeout',
        true,
      ]);
      answer(calls[1]!);
      await settled();
      expect(next.ending.is).toBe('active');
    },
  );
});

describe('a read that cannot have its turn in time', () => {
  it('is refused on arrival by the forecast of the budget', async () => {
    budget.permits = 0;
    budget.forecastMs = (nth) => nth * 1000;
    const [first, second, third] = [1000, 1999, 3000].map((patienceMs) => begin({ patienceMs }).ending);
    await settled();
    expect([first!.is, second!.is, third!.is]).toEqual(['pending', 'TooManyRequests', 'pending']);
    expect(second!.retryAfterMs).toBe(2000);
    expect(throttle.depth).toBe(2);
  });

  it('is refused by the mean duration of calls when it waits for a slot', async () => {
    start({ concurrency: 1, callMs: 60_000 });
    for (let count = 1; count <= 2; count++) {
      begin();
      await untilSent(count);
      await clock.advance(10_000);
      answer(calls.at(-1)!);
      await settled();
    }
    begin();
    await untilSent(3);
    // The mean is 3600 ms, and one call is under way.
    const [hasty, patient] = [begin({ patienceMs: 3500 }), begin({ patienceMs: 3700 })];
    await settled();
    expect([hasty.ending.is, hasty.ending.retryAfterMs]).toEqual(['TooManyRequests', 3600]);
    expect(patient.ending.is).toBe('pending');
  });

  it('is refused when its patience ends in the queue, and not while it is called', async () => {
    start({ concurrency: 1 });
    begin();
    const waits = begin({ patienceMs: 1000 });
    await untilSent(1);
    await clock.advance(999);
    expect(waits.read.refused).toEqual([]);
    await clock.advance(1);
    expect(waits.read.refused.map(({ body }) => body.code)).toEqual(['TooManyRequests']);
    const called = begin({ patienceMs: 1000 });
    answer(calls[0]!);
    waits.read.cancel.abort();
    await untilSent(2);
    await clock.advance(20_000);
    expect(called.read.refused).toEqual([]);
  });

  it('is refused as soon as the gate closes for longer than its patience', async () => {
    start({ concurrency: 1 });
    const limited = begin();
    await untilSent(1);
    const [hasty, patient] = [begin({ patienceMs: 5000 }), begin({ patienceMs: 50_000 })];
    calls[0]!.reject(failure('rate-limited', 429, GatewayError.of('TooManyRequests'), 20_000));
    await settled();
    expect(limited.ending.is).toBe('TooManyRequests');
    expect(hasty.read.refused.map(({ options }) => options.retryAfterMs)).toEqual([20_000]);
    expect(patient.read.refused).toEqual([]);
    expect(budget.closedMs).toBe(20_000);
  });
});

describe('a full queue', () => {
  beforeEach(() => {
    start({ concurrency: 1, queueLimit: 3, callerLimit: 2 });
    budget.permits = 0;
  });

  it('evicts the newest read of the caller with most', async () => {
    const flood = [begin({ caller: 'flood' }), begin({ caller: 'flood' })];
    const others = [begin({ caller: 'one' }), begin({ caller: 'other' })];
    await settled();
    expect(flood.map(({ ending }) => ending.is)).toEqual(['pending', 'TooManyRequests']);
    expect(others.map(({ ending }) => ending.is)).toEqual(['pending', 'pending']);
    expect(throttle.depth).toBe(3);
  });

  it('takes no more of one caller than CALLER_QUEUE', async () => {
    const flood = [1, 2, 3].map(() => begin({ caller: 'flood' }).ending);
    await settled();
    expect(flood.map(({ is }) => is)).toEqual(['pending', 'pending', 'TooManyRequests']);
  });

  it('evicts a refresh for a miss', async () => {
    const refreshes = [1, 2, 3].map((readAt) => begin({ staleCopy: jobCopy('active', readAt) }).ending);
    const first = begin({ caller: 'one' }).ending;
    await settled();
    expect(refreshes.map(({ is }) => is)).toEqual(['pending', 'pending', 'TooManyRequests']);
    expect(first.is).toBe('pending');
  });
});

describe('the token that a call needs', () => {
  it('is waited for before the budget is asked', async () => {
    const token = Promise.withResolvers<undefined>();
    ready = () => token.promise;
    const { read } = begin({ patienceMs: 1000 });
    await until('the token is requested', () => send.forecast!(read).refusal().status === 503);
    await clock.advance(1000);
    // The refusal names the token, not the quota.
    expect(read.refused.map(({ body }) => body.code)).toEqual(['ServiceUnavailable']);
    expect(budget.askedAt).toEqual([]);
    token.resolve(undefined);
    await untilSent(1);
    expect(budget.askedAt).toEqual([1000]);
  });

  it('fails: all queued reads are refused at once, without a permit', async () => {
    ready = () => Promise.reject(GatewayError.of('ServiceUnavailable', { retryAfterMs: 4000 }));
    const readers = Array.from({ length: 20 }, () => begin().ending);
    await until('all are told', () => readers.every(({ is }) => is === 'ServiceUnavailable'), 20_000);
    expect([budget.askedAt, calls.length, throttle.depth]).toEqual([[], 0, 0]);
    ready = async () => undefined;
    begin();
    await untilSent(1);
  });
});
