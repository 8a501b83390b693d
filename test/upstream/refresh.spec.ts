import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { Copies } from '../../src/upstream/copies.ts';
import type { Copy } from '../../src/upstream/copy.ts';
import {
  type Exchange,
  type ReadResult,
  type UpstreamRead,
  withForecast,
} from '../../src/upstream/exchange.ts';
import { refresh } from '../../src/upstream/layers/refresh.ts';
import { Ending, failure, fromUpstream, jobCopy, LIFETIMES, upstreamRead } from '../support/shared-reads.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

const REFRESH_WAIT_MS = 1000;
const PATIENCE_MS = 10_000;

interface Call extends PromiseWithResolvers<ReadResult> {
  readonly read: UpstreamRead;
}

let clock: VirtualClock;
let copies: Copies;
/** What the queue forecasts for a refresh. */
let forecastMs: number;
let calls: Call[];
let read: Exchange;

beforeEach(() => {
  clock = new VirtualClock();
  copies = new Copies({ lifetimes: LIFETIMES, maxBytes: 2 ** 20, clock });
  forecastMs = 0;
  calls = [];
  const policy = refresh({
    copies,
    lifetimes: LIFETIMES,
    waitMs: REFRESH_WAIT_MS,
    patienceMs: PATIENCE_MS,
    clock,
  });
  read = policy(
    withForecast(
      (upstreamRead: UpstreamRead) => {
        const call = { ...Promise.withResolvers<ReadResult>(), read: upstreamRead };
        calls.push(call);
        return call.promise;
      },
      () => ({ waitMs: forecastMs, refusal: () => GatewayError.of('TooManyRequests') }),
    ),
  );
});

type Asked = Parameters<typeof upstreamRead>[0] & {
  readonly maxAgeMs?: number;
  readonly onlyIfCached?: boolean;
};

function begin({ maxAgeMs = Infinity, onlyIfCached = false, ...options }: Asked = {}): Ending {
  const directives = { maxAgeMs, onlyIfCached };
  return new Ending(
    read(upstreamRead({ patienceMs: PATIENCE_MS, askedAt: clock.now(), directives, ...options })),
  );
}

/** Stores a copy, and lets it grow so old. */
async function held(copy: Copy, ageMs: number): Promise<void> {
  await copies.put('a-job', copy, undefined);
  await clock.advance(ageMs);
}

/** Answers a call and stores the copy, as the layers inside do. */
async function answer(call: Call, copy: Copy): Promise<void> {
  call.resolve(fromUpstream(await copies.put('a-job', copy, call.read.staleCopy)));
  await settled();
}

describe('a copy', () => {
  it('of a running job is fresh for ACTIVE_FRESH, and no longer', async () => {
    await held(jobCopy('active'), LIFETIMES.activeMs - 1);
    const fresh = begin();
    await settled();
    expect([fresh.is, fresh.found?.source, calls.length]).toEqual(['active', 'memory', 0]);
    await clock.advance(1);
    begin();
    await settled();
    expect(calls).toHaveLength(1);
  });

  it('of a finished job is fresh for as long as it is stored', async () => {
    await held(jobCopy('success'), LIFETIMES.finishedMs - 1);
    const [reader, other] = [begin(), begin()];
    await settled();
    expect([reader.is, other.is, calls.length]).toEqual(['success', 'success', 0]);
    await clock.advance(1);
    begin();
    await settled();
    expect(calls[0]?.read.staleCopy).toBeUndefined();
  });

  it('of a missing job is served for NEGATIVE_TTL', async () => {
    await held({ kind: 'missing', readAt: 0 }, LIFETIMES.missingMs - 1);
    const missing = begin();
    await settled();
    expect([missing.is, calls.length]).toEqual(['missing', 0]);
    await clock.advance(1);
    begin();
    await settled();
    expect(calls).toHaveLength(1);
  });

  it('past ACTIVE_STALE is not used: the read is a miss, and gets the error', async () => {
    await held(jobCopy('active'), LIFETIMES.staleMs);
    const reader = begin();
    await settled();
    expect(calls[0]?.read.staleCopy).toBeUndefined();
    calls[0]!.reject(failure('final', 500));
    await settled();
    expect(reader.is).toBe('UpstreamError');
  });
});

describe('the refresh of a copy', () => {
  beforeEach(async () => {
    await held(jobCopy('active'), 6000);
  });

  it('answers all its readers with one call', async () => {
    const readers = Array.from({ length: 10 }, () => begin());
    await settled();
    expect(calls).toHaveLength(1);
    await answer(calls[0]!, jobCopy('success', clock.now()));
    expect(readers.map(({ is }) => is)).toEqual(readers.map(() => 'success'));
    expect(readers.map(({ found }) => found?.forwarded)).toEqual(readers.map(() => 'stale'));
    expect(readers.filter(({ found }) => found?.collapsed)).toHaveLength(9);
    expect(clock.pending).toBe(0);
  });

  it('is waited for REFRESH_WAIT once it is sent; then the copy is served, and it goes on', async () => {
    const reader = begin();
    await settled();
    calls[0]!.read.observer!.onPhase!('called');
    await clock.advance(REFRESH_WAIT_MS - 1);
    expect(reader.is).toBe('pending');
    await clock.advance(2);
    expect([reader.is, reader.found?.stale, reader.found?.forwarded]).toEqual(['active', 'stale', 'stale']);
    expect(calls[0]!.read.cancellation.signal.aborted).toBe(false);
    const later = begin();
    await settled();
    await answer(calls[0]!, jobCopy('success', clock.now()));
    expect([later.is, later.found?.collapsed, calls.length]).toEqual(['success', true, 1]);
  });

  it('is not waited for longer than the reader’s patience', async () => {
    const reader = begin({ patienceMs: 300 });
    await settled();
    calls[0]!.read.observer!.onPhase!('called');
    await clock.advance(301);
    expect(reader.found?.stale).toBe('stale');
  });

  it('is waited for while its call is expected within half of REFRESH_WAIT', async () => {
    const reader = begin();
    await settled();
    calls[0]!.read.observer!.onExpectedWait!(REFRESH_WAIT_MS / 2);
    await settled();
    expect(reader.is).toBe('pending');
    calls[0]!.read.observer!.onExpectedWait!(REFRESH_WAIT_MS / 2 + 1);
    await settled();
    expect([reader.is, reader.found?.stale]).toEqual(['active', 'stale']);
    // The next reader is answered at once, and begins no other refresh.
    const next = begin();
    await settled();
    expect([next.found?.stale, next.found?.forwarded, calls.length]).toEqual(['stale', undefined, 1]);
  });

  it('is not waited for any longer when its call is overdue', async () => {
    const reader = begin();
    await settled();
    calls[0]!.read.observer!.onExpectedWait!(200);
    await clock.advance(300);
    expect(reader.is).toBe('pending');
    await clock.advance(1);
    expect(reader.found?.stale).toBe('stale');
  });

  it('is not begun when the forecast exceeds its patience', async () => {
    forecastMs = PATIENCE_MS + 1;
    const reader = begin();
    await settled();
    expect([reader.is, reader.found?.stale, calls.length]).toEqual(['active', 'stale', 0]);
  });

  it('goes on when its reader goes away', async () => {
    const cancellation = new AbortController();
    const reader = begin({ cancellation });
    await settled();
    cancellation.abort();
    await settled();
    expect([reader.is, calls[0]!.read.cancellation.signal.aborted]).toEqual(['CallerGone', false]);
    expect(clock.pending).toBe(0);
    await answer(calls[0]!, jobCopy('success', clock.now()));
    expect(copies.peekMemory('a-job')?.copy).toMatchObject({ finished: true });
  });

  it.each([
    ['a 429', failure('rate-limited', 429, GatewayError.of('TooManyRequests'))],
    ['a 500', failure('final', 500)],
    ['a timeout', failure('final', 'timeout', GatewayError.of('UpstreamTimeout'))],
    ['a broken connection', failure('transient', 'connection')],
    ['a token endpoint that fails', GatewayError.of('ServiceUnavailable')],
    ['a refused credential', failure('job-refused', 401, GatewayError.of('UpstreamAuthenticationFailed'))],
  ])('that meets %s leaves the copy as the answer', async (_, error) => {
    const reader = begin();
    await settled();
    calls[0]!.reject(error);
    await settled();
    expect([reader.is, reader.found?.stale]).toEqual(['active', 'stale-if-error']);
    begin();
    await settled();
    expect(calls).toHaveLength(2);
  });

  it.each([
    ['that may not be seen', failure('final', 403, GatewayError.of('InsufficientPermissions'))],
    ['that does not exist', GatewayError.of('JobNotFound')],
  ])('of a job %s ends with that error', async (_, error) => {
    const reader = begin();
    await settled();
    calls[0]!.reject(error);
    await settled();
    expect(reader.is).toBe(error.body.code);
  });
});

describe("a caller's freshness bound", () => {
  it('accepts a copy that is not older, and makes a call of its own otherwise', async () => {
    await held(jobCopy('success'), 10_000);
    const [content, demanding] = [begin({ maxAgeMs: 10_000 }), begin({ maxAgeMs: 9999 })];
    await settled();
    expect([content.is, content.found?.source]).toEqual(['success', 'memory']);
    expect(calls.map(({ read }) => read.mustRevalidate)).toEqual([true]);
    calls[0]!.reject(failure('final', 500));
    await settled();
    expect(demanding.is).toBe('UpstreamError');
  });
});

describe('only-if-cached', () => {
  it('makes no call: a copy, even a stale one, or an error', async () => {
    const missing = begin({ onlyIfCached: true });
    await settled();
    expect(missing.is).toBe('NotCached');
    await held(jobCopy('active'), 6000);
    const [stale, tooOld] = [begin({ onlyIfCached: true }), begin({ onlyIfCached: true, maxAgeMs: 5999 })];
    await settled();
    expect([stale.is, stale.found?.stale, tooOld.is]).toEqual(['active', 'stale', 'NotCached']);
    expect(calls).toHaveLength(0);
  });
});
