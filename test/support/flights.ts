import type { Copy } from '../../src/upstream/copy.ts';
import type { SharedRead, ReadResult, UpstreamRead, CallOutcome } from '../../src/upstream/exchange.ts';
import { Waiters } from '../../src/upstream/waiters.ts';
import { type FailureKind, UpstreamFailure } from '../../src/upstream/upstream-failure.ts';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import type { VirtualClock } from './virtual-clock.ts';

export const LIFETIMES = { finishedMs: 3_600_000, activeMs: 5000, staleMs: 60_000, missingMs: 10_000 };

/** A copy of a job in this state, read at this time of the clock. */
export function jobCopy(state: string, readAt = 0): Copy & { kind: 'job' } {
  return {
    kind: 'job',
    body: JSON.stringify({ job: { state } }),
    contentType: 'application/json',
    etag: `"${state}"`,
    finished: state === 'success',
    iTwinId: undefined,
    readAt,
  };
}

/** What a call upstream brings. */
export function fromUpstream(copy: Copy): ReadResult {
  return { copy, source: 'upstream', collapsed: false, upstream: { status: 200 } };
}

/** An answer of upstream of which only matters that there is one. */
export const UPSTREAM_ANSWER = fromUpstream({ kind: 'missing', readAt: 0 });

/** A caller's read that no copy answers, with all the patience in the world. */
export function trip(
  options: Partial<Omit<UpstreamRead, 'caller'>> & { readonly caller?: string } = {},
): UpstreamRead {
  const { caller = 'tester', ...own } = options;
  return {
    jobId: 'a-job',
    correlationId: 'a-correlation-id',
    directives: { maxAgeMs: Infinity, onlyIfCached: false },
    askedAt: 0,
    patienceMs: Infinity,
    cancellation: new AbortController(),
    staleCopy: undefined,
    mustRevalidate: false,
    ...own,
    caller: { queueKey: caller, maySee: () => true },
  };
}

/** A flight with one waiter, which records its refusal in `refused`. */
export function flight(
  clock: VirtualClock,
  options: Parameters<typeof trip>[0] & Partial<Pick<SharedRead, 'isRetry' | 'onQueued' | 'onSent'>> = {},
): SharedRead & { readonly refused: GatewayError[]; readonly cancel: AbortController } {
  const { isRetry = false, onQueued = () => undefined, onSent = () => undefined, ...own } = options;
  const read = trip(own);
  const waiters = new Waiters(clock);
  const refused: GatewayError[] = [];
  const { caller, patienceMs } = read;
  waiters.add({ caller: caller.queueKey, patienceMs, refuse: (error) => refused.push(error) });
  const cancel = new AbortController();
  const onCallFailed = (): void => undefined;
  return { ...read, waiters, cancellation: cancel, cancel, isRetry, onQueued, onSent, onCallFailed, refused };
}

/** A call that failed. */
export function failure(
  kind: FailureKind,
  status: CallOutcome['status'],
  error = GatewayError.of(status === 401 ? 'UpstreamAuthenticationFailed' : 'UpstreamError'),
  retryAfterMs?: number,
): UpstreamFailure {
  return new UpstreamFailure({ kind, outcome: { status }, retryAfterMs }, error);
}

/**
 * How a read has ended: the copy's etag, the error's code, or its name when it is none for a caller; `pending` before.
 */
export class Ending {
  is = 'pending';
  found: ReadResult | undefined;
  error: unknown;

  constructor(reading: Promise<ReadResult>) {
    reading.then(
      (found) => {
        this.found = found;
        this.is = found.copy.kind === 'job' ? found.copy.etag.replaceAll('"', '') : 'missing';
      },
      (error: unknown) => {
        this.error = error;
        this.is = error instanceof GatewayError ? error.body.code : (error as Error).name;
      },
    );
  }

  get retryAfterMs(): number | undefined {
    return (this.error as GatewayError | undefined)?.options.retryAfterMs;
  }
}
