import type { Copy } from '../../src/upstream/copy.ts';
import type { SharedRead, ReadResult, UpstreamRead, CallOutcome } from '../../src/upstream/exchange.ts';
import { SharedReadState } from '../../src/upstream/shared-read-state.ts';
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

/** The result of a call. */
export function fromUpstream(copy: Copy): ReadResult {
  return { copy, source: 'upstream', collapsed: false, upstream: { status: 200 } };
}

/** Any answer of upstream. */
export const UPSTREAM_ANSWER = fromUpstream({ kind: 'missing', readAt: 0 });

/** A caller's read that no copy answers, without a bound to its patience. */
export function upstreamRead(
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

/** A shared read with one waiter, whose refusals are recorded in `refused`. */
export function sharedRead(
  clock: VirtualClock,
  options: Parameters<typeof upstreamRead>[0] & Partial<Pick<SharedRead, 'isRetry'>> = {},
): SharedRead & { readonly refused: GatewayError[]; readonly cancel: AbortController } {
  const { isRetry = false, ...own } = options;
  const read = upstreamRead(own);
  const state = new SharedReadState(clock);
  if (read.observer) state.observe(read.observer);
  const refused: GatewayError[] = [];
  const { caller, patienceMs } = read;
  state.waiters.add({ caller: caller.queueKey, patienceMs, refuse: (error) => refused.push(error) });
  const cancel = new AbortController();
  return { ...read, state, callers: state.waiters.callers, cancellation: cancel, cancel, isRetry, refused };
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
 * How a read ended: the copy's etag, the error's code, or the name of an error that no caller gets; `pending` before.
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
