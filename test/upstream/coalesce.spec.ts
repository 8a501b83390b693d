import { beforeEach, describe, expect, it } from '@jest/globals';
import { CallerGone } from '../../src/errors/caller-gone.ts';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import type { Exchange, SharedRead, ReadResult, UpstreamRead } from '../../src/upstream/exchange.ts';
import { coalesce } from '../../src/upstream/layers/coalesce.ts';
import { UpstreamFailure } from '../../src/upstream/upstream-failure.ts';
import { Ending, failure, fromUpstream, jobCopy, trip } from '../support/flights.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

interface Call extends PromiseWithResolvers<ReadResult> {
  readonly read: SharedRead;
}

let clock: VirtualClock;
/** Those that were made, first first. */
let calls: Call[];
let read: Exchange<UpstreamRead>;

beforeEach(() => {
  clock = new VirtualClock();
  calls = [];
  read = coalesce((flight) => {
    const call = { ...Promise.withResolvers<ReadResult>(), read: flight };
    calls.push(call);
    return call.promise;
  }, clock);
});

const begin = (options?: Parameters<typeof trip>[0]): Ending => new Ending(read(trip(options)));
const answer = fromUpstream(jobCopy('active'));

/** The read stands in line for a slot, which it has after so long. */
function queue({ read: { waiters, onQueued } }: Call, forecastMs: number): void {
  onQueued();
  waiters.onEnqueued({
    forecastMs: () => forecastMs,
    refusal: () => GatewayError.of('TooManyRequests', { retryAfterMs: 7000 }),
    onCallersChanged: () => undefined,
  });
}

function send({ read: { waiters, onSent } }: Call): void {
  waiters.onDequeued();
  onSent();
}

describe('reads of one job at one time', () => {
  it('are answered by one call, however many there are', async () => {
    const readers = Array.from({ length: 100 }, (_, index) => begin({ caller: `caller-${index % 7}` }));
    expect(calls).toHaveLength(1);
    calls[0]!.resolve(answer);
    await settled();
    expect(readers.map(({ is }) => is)).toEqual(readers.map(() => 'active'));
    expect(readers.filter(({ found }) => found?.collapsed)).toHaveLength(99);
    expect(clock.pending).toBe(0);
  });

  it('have nothing to do with reads of another job, or of a later time', async () => {
    begin();
    begin({ jobId: 'another' });
    expect(calls).toHaveLength(2);
    calls[0]!.resolve(answer);
    await settled();
    begin();
    expect(calls).toHaveLength(3);
  });

  it('share an error, which nobody is told who comes later', async () => {
    const [one, other] = [begin(), begin()];
    calls[0]!.reject(failure('final', 500));
    await settled();
    expect([one.is, other.is]).toEqual(['UpstreamError', 'UpstreamError']);
    begin();
    expect(calls).toHaveLength(2);
  });

  it('are no collapsed calls when a copy was found for them', async () => {
    const [one, other] = [begin(), begin()];
    calls[0]!.resolve({ ...answer, source: 'redis' });
    await settled();
    expect([one.found?.collapsed, other.found?.collapsed]).toEqual([false, false]);
  });
});

describe('a waiter that goes away', () => {
  it('leaves the read to the others', async () => {
    const cancellation = new AbortController();
    const [leaves, stays] = [begin({ cancellation }), begin()];
    cancellation.abort();
    await settled();
    expect([leaves.is, stays.is]).toEqual(['CallerGone', 'pending']);
    expect(calls[0]!.read.cancellation.signal.aborted).toBe(false);
    calls[0]!.resolve(answer);
    await settled();
    expect(stays.is).toBe('active');
  });

  it('cancels the read when it is the last; who comes next starts another', async () => {
    const [one, other] = [new AbortController(), new AbortController()];
    begin({ cancellation: one });
    begin({ cancellation: other });
    one.abort();
    other.abort();
    await settled();
    expect(calls[0]!.read.cancellation.signal.aborted).toBe(true);
    expect(calls[0]!.read.cancellation.signal.reason).toBeInstanceOf(CallerGone);
    const next = begin();
    expect(calls).toHaveLength(2);
    // The end of the cancelled read is not the end of the next one.
    calls[0]!.reject(new CallerGone());
    await settled();
    begin();
    expect(calls).toHaveLength(2);
    calls[1]!.resolve(answer);
    await settled();
    expect(next.is).toBe('active');
  });

  it('starts nothing when it has cancellation before', async () => {
    expect(begin({ cancellation: { signal: AbortSignal.abort() } }).is).toBe('pending');
    await settled();
    expect(calls).toHaveLength(0);
  });
});

describe('a strict read: only a call will do that is sent after it came', () => {
  it('joins one that waits for its slot, and does not join one that was sent', () => {
    begin();
    queue(calls[0]!, 0);
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(1);
    send(calls[0]!);
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(2);
    // The latest is the one to join, with most of its way before it.
    begin();
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(2);
  });

  it('does not join one that a copy may still answer, unless that is strict as well', () => {
    begin();
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(2);
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(2);
  });

  it('joins one that stands in line for another try', () => {
    begin();
    queue(calls[0]!, 0);
    send(calls[0]!);
    queue(calls[0]!, 0);
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(1);
  });
});

describe("a waiter's patience", () => {
  it('ends its own wait and nobody else’s', async () => {
    const [hasty, patient] = [begin({ patienceMs: 1000 }), begin({ patienceMs: 5000 })];
    queue(calls[0]!, 0);
    await clock.advance(999);
    expect(hasty.is).toBe('pending');
    await clock.advance(1);
    expect([hasty.is, hasty.retryAfterMs, patient.is]).toEqual(['TooManyRequests', 7000, 'pending']);
    expect(calls[0]!.read.cancellation.signal.aborted).toBe(false);
    calls[0]!.resolve(answer);
    await settled();
    expect(patient.is).toBe('active');
    expect(clock.pending).toBe(0);
  });

  it('cancels the read when it was the last one’s', async () => {
    begin({ patienceMs: 1000 });
    queue(calls[0]!, 0);
    await clock.advance(1000);
    expect(calls[0]!.read.cancellation.signal.aborted).toBe(true);
  });

  it('stands still while the call is under way, and goes on with what is left when it has to be made again', async () => {
    const waiter = begin({ patienceMs: 1000 });
    queue(calls[0]!, 0);
    await clock.advance(600);
    send(calls[0]!);
    await clock.advance(60_000);
    queue(calls[0]!, 0);
    await clock.advance(399);
    expect(waiter.is).toBe('pending');
    await clock.advance(1);
    expect(waiter.is).toBe('TooManyRequests');
  });

  it('is not even begun where the turn is forecast to come after it', async () => {
    begin({ patienceMs: 60_000 });
    queue(calls[0]!, 30_000);
    const hasty = begin({ patienceMs: 29_999 });
    await settled();
    expect([hasty.is, hasty.retryAfterMs]).toEqual(['TooManyRequests', 30_000]);
    expect(calls).toHaveLength(1);
  });

  it('is that of the most patient one for the read', () => {
    begin({ patienceMs: 1000 });
    begin({ patienceMs: 5000 });
    expect(calls[0]!.read.waiters.patienceMs).toBe(5000);
  });

  it('that ends after a failed call is told with that call', async () => {
    const waiter = begin({ patienceMs: 1000 });
    calls[0]!.read.onCallFailed({ status: 503 });
    queue(calls[0]!, 0);
    await clock.advance(1000);
    expect(waiter.is).toBe('TooManyRequests');
    expect((waiter.error as UpstreamFailure).call.outcome.status).toBe(503);
  });
});
