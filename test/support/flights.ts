import type { Copy } from '../../src/upstream/copy.ts';
import type { Flight, Found, Trip, UpstreamTrace } from '../../src/upstream/exchange.ts';
import { Party } from '../../src/upstream/party.ts';
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
export function fromUpstream(copy: Copy): Found {
  return { copy, source: 'upstream', collapsed: false, upstream: { status: 200 } };
}

/** An answer of upstream of which only matters that there is one. */
export const UPSTREAM_ANSWER = fromUpstream({ kind: 'missing', readAt: 0 });

/** A caller's read that no copy answers, with all the patience in the world. */
export function trip(options: Partial<Omit<Trip, 'caller'>> & { readonly caller?: string } = {}): Trip {
  const { caller = 'tester', ...own } = options;
  return {
    jobId: 'a-job',
    correlationId: 'a-correlation-id',
    wants: { maxAgeMs: Infinity, onlyIfCached: false },
    askedAt: 0,
    patienceMs: Infinity,
    gone: new AbortController(),
    known: undefined,
    strict: false,
    ...own,
    caller: { line: caller, maySee: () => true },
  };
}

/** A flight with one waiter, which records its refusal in `refused`. */
export function flight(
  clock: VirtualClock,
  options: Parameters<typeof trip>[0] & Partial<Pick<Flight, 'again' | 'onWaiting' | 'onSent'>> = {},
): Flight & { readonly refused: GatewayError[]; readonly cancel: AbortController } {
  const { again = false, onWaiting = () => undefined, onSent = () => undefined, ...own } = options;
  const read = trip(own);
  const party = new Party(clock);
  const refused: GatewayError[] = [];
  const { caller, patienceMs } = read;
  party.add({ caller: caller.line, patienceMs, refuse: (error) => refused.push(error) });
  const cancel = new AbortController();
  const onFailed = (): void => undefined;
  return { ...read, party, gone: cancel, cancel, again, onWaiting, onSent, onFailed, refused };
}

/** A call that failed. */
export function failure(
  kind: FailureKind,
  status: UpstreamTrace['status'],
  error = GatewayError.of(status === 401 ? 'UpstreamAuthenticationFailed' : 'UpstreamError'),
  retryAfterMs?: number,
): UpstreamFailure {
  return new UpstreamFailure({ kind, trace: { status }, retryAfterMs }, error);
}

/** How a read has ended: the copy's etag, the error's code, or its name when it is none for a caller; `pending` before. */
export class Ending {
  is = 'pending';
  found: Found | undefined;
  error: unknown;

  constructor(reading: Promise<Found>) {
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
