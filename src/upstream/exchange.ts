import type { Trace } from '../tracing/tracing.ts';
import type { CallOutcome } from './call-outcome.ts';
import type { Copy, JobCopy } from './copy.ts';
import type { Forecast } from './forecast.ts';
import type { Ticket } from './read-queue.ts';
import type { ReadObserver, SharedReadState } from './shared-read-state.ts';
import type { TokenRefusal } from './token.ts';

export type { CallOutcome };

/** The caller on whose behalf a read is made, as far as the layers care. */
export interface Requester {
  /** Reads with the same key are queued together. */
  readonly queueKey: string;
  /** Whether it may see a job of this iTwin (docs/CONTRACT.md, section 6). */
  maySee(iTwinId: string | undefined): boolean;
}

/** Which copies a caller accepts (docs/CONTRACT.md, section 2). */
export interface CacheDirectives {
  /** Oldest accepted copy, in milliseconds; Infinity leaves that to the gateway. */
  readonly maxAgeMs: number;
  /** Answer from a copy or not at all: no call is made. */
  readonly onlyIfCached: boolean;
}

/** Its signal aborts when the last waiter has left. It is created on first access: a hit needs none. */
export type Cancellation = Pick<AbortController, 'signal'>;

/** One read of one job. */
export interface Read {
  /** A UUID in lower case: safe in keys, URLs and log lines. */
  readonly jobId: string;
  readonly correlationId: string;
  readonly caller: Requester;
  readonly directives: CacheDirectives;
  /** Arrival, on the clock of `performance.now()`. */
  readonly askedAt: number;
  /** Longest wait in queues, in all, in milliseconds. */
  readonly patienceMs: number;
  readonly cancellation: Cancellation;
  /** Present when tracing is on. */
  readonly trace?: Trace | undefined;
}

/** A read that no copy answers: it needs a call upstream, from here or from another replica. */
export interface UpstreamRead extends Read {
  /** The copy to replace. Reads with one are refreshes and yield to misses. */
  readonly staleCopy: JobCopy | undefined;
  /** Only a call that is sent after the read came answers it. */
  readonly mustRevalidate: boolean;
  readonly observer?: ReadObserver;
}

/** An upstream read that answers everyone who asks for the job meanwhile. Copies with other fields share the state. */
export interface SharedRead extends UpstreamRead, Omit<Ticket, 'staleCopy'> {
  /** How far it is, who waits for it and who observes it. */
  readonly state: SharedReadState;
  /** The last read of the job failed: this one gets a single call. */
  readonly hasFailed?: boolean;
  /** Earlier calls that upstream answered with 401. */
  readonly refusals?: readonly TokenRefusal[];
  /** Further header fields of the call. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Called when the request has been written to its connection. */
  readonly onRequestSent?: () => void;
}

/** Where a copy came from. */
export type Source = 'memory' | 'redis' | 'upstream';

/** Why no copy was the answer (RFC 9211 `fwd`): there was none, it was stale, or the caller wanted a newer one. */
export type ForwardReason = 'miss' | 'stale' | 'request';

/** Why a copy was served that is no longer fresh: its refresh goes on, or has failed. */
export type Staleness = 'stale' | 'stale-if-error';

/** The answer to a read. */
export interface ReadResult {
  readonly copy: Copy;
  readonly source: Source;
  /** True when another caller's call answered this read as well (RFC 9211 `collapsed`). */
  readonly collapsed: boolean;
  readonly forwarded?: ForwardReason;
  readonly stale?: Staleness;
  /** The last call, when the read went upstream. */
  readonly upstream?: CallOutcome;
}

/** The answer to a read of a job that exists. */
export type JobResult = ReadResult & { readonly copy: JobCopy };

/** Answers a read, or throws a `GatewayError`. */
export interface Exchange<R extends Read = Read> {
  (read: R): Promise<ReadResult>;
  /** What a read that came now would have to expect. Absent where calls are sent without a queue. */
  readonly forecast?: ((read: Ticket) => Forecast) | undefined;
}

/** Sends one call with a bearer token. */
export type Send = (read: SharedRead, token: string) => Promise<ReadResult>;

/** The outermost exchange: a job that its caller may see, or an error. */
export type JobReader = (read: Read) => Promise<JobResult>;

/** One concern, put around the next exchange. */
export type Layer<R extends Read = Read> = (next: Exchange<R>) => Exchange<R>;

/**
 * Composes layers, outermost first, around the innermost exchange. Forecasts pass through layers that have none of
 * their own.
 */
export function stack<R extends Read>(layers: readonly Layer<R>[], innermost: Exchange<R>): Exchange<R> {
  return layers.reduceRight((next, layer) => {
    const exchange = layer(next);
    return withForecast(exchange, exchange.forecast ?? next.forecast);
  }, innermost);
}

export function withForecast<R extends Read>(
  exchange: (read: R) => Promise<ReadResult>,
  forecast: Exchange['forecast'],
): Exchange<R> {
  return Object.assign((read: R) => exchange(read), { forecast });
}
