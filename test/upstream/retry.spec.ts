import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import type { SharedRead } from '../../src/upstream/exchange.ts';
import { retry } from '../../src/upstream/layers/retry.ts';
import { failure, sharedRead, UPSTREAM_ANSWER as found } from '../support/shared-reads.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

let clock: VirtualClock;
/** The error of each call, in turn; further calls go well. */
let answers: Error[];
let calls: { at: number; read: SharedRead }[];

beforeEach(() => {
  clock = new VirtualClock();
  answers = [];
  calls = [];
});

function start(read: SharedRead): { readonly ended: string[] } {
  const ended: string[] = [];
  const exchange = retry(clock)((tried) => {
    calls.push({ at: clock.now(), read: tried });
    const error = answers.shift();
    return error === undefined ? Promise.resolve(found) : Promise.reject(error);
  });
  exchange(read).then(
    () => ended.push('well'),
    (error: unknown) => ended.push(error instanceof GatewayError ? String(error.status) : String(error)),
  );
  return { ended };
}

const times = (): number[] => calls.map(({ at }) => at);

describe('a call that failed', () => {
  it('for a moment (transient) is retried once at once, first in the queue', async () => {
    answers = [failure('transient', 503)];
    const { ended } = start(sharedRead(clock, { jobId: 'job' }));
    await settled();
    expect([ended, times()]).toEqual([['well'], [0, 0]]);
    expect(calls.map(({ read }) => read.isRetry)).toEqual([false, true]);
  });

  it('twice is the answer', async () => {
    answers = [failure('transient', 'connection'), failure('transient', 502)];
    const { ended } = start(sharedRead(clock, { jobId: 'job' }));
    await settled();
    expect([ended, calls.length]).toEqual([['502'], 2]);
  });

  it('is the answer at once when the last read of the job failed', async () => {
    answers = [failure('transient', 503)];
    const { ended } = start({ ...sharedRead(clock, { jobId: 'job' }), hasFailed: true });
    await settled();
    expect([ended, calls.length]).toEqual([['502'], 1]);
  });

  it.each(['final', 'job-refused'] as const)('for good (%s) is the answer', async (kind) => {
    answers = [failure(kind, kind === 'final' ? 500 : 401)];
    const { ended } = start(sharedRead(clock, { jobId: 'job' }));
    await settled();
    expect([ended, calls.length]).toEqual([['502'], 1]);
  });

  it('with a Retry-After is retried when that is over', async () => {
    answers = [failure('transient', 503, undefined, 4000)];
    const { ended } = start(sharedRead(clock, { jobId: 'job' }));
    await clock.advance(3999);
    expect(times()).toEqual([0]);
    await clock.advance(1);
    expect([ended, times()]).toEqual([['well'], [0, 4000]]);
  });

  it('with a Retry-After beyond the patience of all waiters is the answer at once', async () => {
    answers = [failure('transient', 503, undefined, 10_001)];
    const { ended } = start(sharedRead(clock, { jobId: 'job', patienceMs: 10_000 }));
    await settled();
    expect([ended, clock.pending]).toEqual([['502'], 0]);
  });
});

describe('a token that was refused', () => {
  it('is retried after each pause, with the refusals so far', async () => {
    const refused = (tokenId: number, retryAfterMs: number) => {
      const error = failure('token-refused', 401, undefined, retryAfterMs);
      Object.assign(error.call, { refusal: { tokenId, sentAt: clock.now() } });
      return error;
    };
    answers = [refused(1, 0), refused(2, 50), refused(2, 100)];
    const { ended } = start(sharedRead(clock, { jobId: 'job' }));
    await clock.advance(150);
    expect([ended, times()]).toEqual([['well'], [0, 0, 50, 150]]);
    expect(calls.at(-1)?.read.refusals?.map(({ tokenId }) => tokenId)).toEqual([1, 2, 2]);
  });
});

describe('the pause before a retry', () => {
  it('ends when the last waiter has left', async () => {
    answers = [failure('transient', 503, undefined, 4000)];
    const cancellation = new AbortController();
    const { ended } = start({ ...sharedRead(clock, { jobId: 'job' }), cancellation });
    await settled();
    cancellation.abort(new Error('cancellation'));
    await settled();
    expect([ended, calls.length, clock.pending]).toEqual([['Error: cancellation'], 1, 0]);
  });
});

describe('a 429', () => {
  it('is retried without a limit: the gate and patience are the queue’s', async () => {
    answers = Array.from({ length: 50 }, () => failure('rate-limited', 429, undefined, 60_000));
    const { ended } = start(sharedRead(clock, { jobId: 'job' }));
    await settled();
    expect([ended, calls.length]).toEqual([['well'], 51]);
  });

  it('is answered by the queue’s refusal; another failure is the answer itself', async () => {
    const refusal = GatewayError.of('TooManyRequests');
    answers = [failure('rate-limited', 429), refusal];
    const limited = start(sharedRead(clock, { jobId: 'job' }));
    await settled();
    answers = [failure('transient', 'connection'), refusal];
    const broken = start(sharedRead(clock, { jobId: 'job' }));
    await settled();
    expect([limited.ended, broken.ended]).toEqual([['429'], ['502']]);
  });
});
