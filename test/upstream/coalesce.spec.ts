import { beforeEach, describe, expect, it } from '@jest/globals';
import { CallerGone } from '../../src/errors/caller-gone.ts';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import type { Exchange, SharedRead, ReadResult, UpstreamRead } from '../../src/upstream/exchange.ts';
import { coalesce } from '../../src/upstream/layers/coalesce.ts';
import { UpstreamFailure } from '../../src/upstream/upstream-failure.ts';
import { Ending, failure, fromUpstream, jobCopy, upstreamRead } from '../support/shared-reads.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

interface Call extends PromiseWithResolvers<ReadResult> {
  readonly read: SharedRead;
}

let clock: VirtualClock;
/** In the order in which they began. */
let calls: Call[];
let read: Exchange<UpstreamRead>;

beforeEach(() => {
  clock = new VirtualClock();
  calls = [];
  read = coalesce((shared) => {
    const call = { ...Promise.withResolvers<ReadResult>(), read: shared };
    calls.push(call);
    return call.promise;
  }, clock);
});

const begin = (options?: Parameters<typeof upstreamRead>[0]): Ending =>
  new Ending(read(upstreamRead(options)));
const answer = fromUpstream(jobCopy('active'));

/** The read waits in the queue, with so long to its turn. */
function queue({ read: { state } }: Call, waitMs: number): void {
  const refusal = () => GatewayError.of('TooManyRequests', { retryAfterMs: 7000 });
  state.queue({ forecast: () => ({ waitMs, refusal }) });
}

function send({ read: { state } }: Call): void {
  state.call();
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

  it('share nothing with reads of another job or of a later time', async () => {
    begin();
    begin({ jobId: 'another' });
    expect(calls).toHaveLength(2);
    calls[0]!.resolve(answer);
    await settled();
    begin();
    expect(calls).toHaveLength(3);
  });

  it('share an error, which no later caller gets', async () => {
    const [one, other] = [begin(), begin()];
    calls[0]!.reject(failure('final', 500));
    await settled();
    expect([one.is, other.is]).toEqual(['UpstreamError', 'UpstreamError']);
    begin();
    expect(calls).toHaveLength(2);
  });

  it('are not marked as collapsed when a copy is found for them', async () => {
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

  it('cancels the read when it is the last; the next caller starts another', async () => {
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

  it('starts nothing when it is gone before', async () => {
    expect(begin({ cancellation: { signal: AbortSignal.abort() } }).is).toBe('pending');
    await settled();
    expect(calls).toHaveLength(0);
  });
});

describe('a revalidation: only a call that is sent after it came answers it', () => {
  it('joins a queued read, and does not join one that was called', () => {
    begin();
    queue(calls[0]!, 0);
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(1);
    send(calls[0]!);
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(2);
    // Later reads join the latest one.
    begin();
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(2);
  });

  it('does not join a read that a copy may still answer, except another revalidation', () => {
    begin();
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(2);
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(2);
  });

  it('joins a read that is queued for a retry', () => {
    begin();
    queue(calls[0]!, 0);
    send(calls[0]!);
    queue(calls[0]!, 0);
    begin({ mustRevalidate: true });
    expect(calls).toHaveLength(1);
  });
});

describe("a waiter's patience", () => {
  it('ends its own wait and no other', async () => {
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

  it('cancels the read when it was the last waiter', async () => {
    begin({ patienceMs: 1000 });
    queue(calls[0]!, 0);
    await clock.advance(1000);
    expect(calls[0]!.read.cancellation.signal.aborted).toBe(true);
  });

  it('stands still while the call is under way, and goes on when the read is queued again', async () => {
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

  it('is compared with the forecast first: a wait that would be too long is refused at once', async () => {
    begin({ patienceMs: 60_000 });
    queue(calls[0]!, 30_000);
    const hasty = begin({ patienceMs: 29_999 });
    await settled();
    expect([hasty.is, hasty.retryAfterMs]).toEqual(['TooManyRequests', 30_000]);
    expect(calls).toHaveLength(1);
  });

  it('counts for the read as that of the most patient waiter', () => {
    begin({ patienceMs: 1000 });
    begin({ patienceMs: 5000 });
    expect(calls[0]!.read.state.waiters.patienceMs).toBe(5000);
  });

  it('that ends after a failed call is refused with the outcome of that call', async () => {
    const waiter = begin({ patienceMs: 1000 });
    calls[0]!.read.state.fail({ status: 503 });
    queue(calls[0]!, 0);
    await clock.advance(1000);
    expect(waiter.is).toBe('TooManyRequests');
    expect((waiter.error as UpstreamFailure).call.outcome.status).toBe(503);
  });
});
