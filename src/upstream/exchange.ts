import type { Copy, JobCopy } from './copy.ts';
import type { Trace } from '../tracing/tracing.ts';
import type { Waiters } from './waiters.ts';
import type { TokenRefusal } from './token.ts';

/** The caller on whose behalf a read is made, as far as the layers care. */
export interface Requester {
  /** Whose reads share a line in the queue. */
  readonly queueKey: string;
  /** Whether it may see a job of this iTwin (docs/CONTRACT.md, section 6). */
  maySee(iTwinId: string | undefined): boolean;
}

/** Which copies a caller accepts (docs/CONTRACT.md, section 2). */
export interface CacheDirectives {
  /** The age up to which it takes a copy, in milliseconds; Infinity when it leaves that to the gateway. */
  readonly maxAgeMs: number;
  /** It takes what is held, and starts nothing. */
  readonly onlyIfCached: boolean;
}

/** Its signal aborts when nobody waits for the answer any more. It is made when it is first asked for: a hit needs none. */
export type Cancellation = Pick<AbortController, 'signal'>;

/** One read of one job. */
export interface Read {
  /** A UUID in lower case: safe in keys, URLs and log lines. */
  readonly jobId: string;
  readonly correlationId: string;
  readonly caller: Requester;
  readonly directives: CacheDirectives;
  /** When it came, on the clock of `performance.now()`. */
  readonly askedAt: number;
  /** How long it may wait for slots, all told, in milliseconds. */
  readonly patienceMs: number;
  readonly cancellation: Cancellation;
  /** The trace that it is part of, when there is tracing. */
  readonly trace?: Trace | undefined;
}

/** Is told how far a trip has come, here or at another replica. */
export interface Progress {
  /** In how many milliseconds its call is to be expected. */
  onExpectedWait(waitMs: number): void;
  /** Its call has gone out. */
  onSent(): void;
}

/** A read that no copy answers: it needs a call upstream, its own or another's. */
export interface UpstreamRead extends Read {
  /** The copy that is to be replaced: the read is its refresh, and stands behind the reads of jobs of which none is known. */
  readonly staleCopy: JobCopy | undefined;
  /** Only a call will do that is sent after the read came. */
  readonly mustRevalidate: boolean;
  readonly progress?: Progress;
}

/** A trip that is shared by everyone who asks for the job at that time. */
export interface SharedRead extends UpstreamRead {
  /** Those who wait for the answer. */
  readonly waiters: Waiters;
  /** True when the read has been upstream before and asks for another slot: it goes first in its line. */
  readonly isRetry: boolean;
  /** Its job's last read failed: it gets one call. */
  readonly hasFailed?: boolean;
  /** Calls that upstream refused with a 401 before. */
  readonly refusals?: readonly TokenRefusal[];
  /** Told when no copy will do, or when a call has failed: another will be made, here or at another replica. */
  readonly onQueued: () => void;
  /** Told when a call for it goes out, here or at another replica. */
  readonly onSent: () => void;
  /** Told when the call has been written to its connection. */
  readonly onRequestSent?: () => void;
  /** Further header fields of its call. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether another replica has said since that the job is finished. */
  readonly finishedElsewhere?: () => boolean;
  /** Told of each call that was made for it and failed, whatever comes of the read. */
  readonly onCallFailed: (outcome: CallOutcome) => void;
}

/** Where a copy came from. */
export type Source = 'memory' | 'redis' | 'upstream';

/** Why no copy did (RFC 9211 `fwd`): there was none, it was stale, or the caller wanted a newer one. */
export type ForwardReason = 'miss' | 'stale' | 'request';

/** A copy that is no longer fresh was served: its refresh goes on, or has failed. */
export type Staleness = 'stale' | 'stale-if-error';

/** What upstream said to one call, for the log. */
export interface CallOutcome {
  readonly status: number | 'timeout' | 'connection' | 'cancelled';
  /** Why a connection failed or an answer was cut off: `ECONNREFUSED`, `CERT_HAS_EXPIRED`, `HPE_HEADER_OVERFLOW`. */
  readonly code?: string;
  /** Upstream's own correlation id: its support asks for it. */
  readonly correlationId?: string;
}

/** The answer to a read. */
export interface ReadResult {
  readonly copy: Copy;
  readonly source: Source;
  /** True when another caller's call answered this read as well (RFC 9211 `collapsed`). */
  readonly collapsed: boolean;
  readonly forwarded?: ForwardReason;
  readonly stale?: Staleness;
  /** Of the last call, when the read went upstream. */
  readonly upstream?: CallOutcome;
}

/** The answer to a read of a job that there is. */
export type JobResult = ReadResult & { readonly copy: JobCopy };

/** Answers a read, or throws a `GatewayError`. */
export type Exchange<R extends Read = Read> = (read: R) => Promise<ReadResult>;

/** Sends one call with a bearer token. */
export type Send = (read: SharedRead, token: string) => Promise<ReadResult>;

/** The outermost exchange: a job that its caller may see, or an error. */
export type JobReader = (read: Read) => Promise<JobResult>;

/** One concern, put around the next exchange. */
export type Layer<R extends Read = Read> = (next: Exchange<R>) => Exchange<R>;

/** Composes layers, outermost first, around the exchange that ends the way. */
export function stack<R extends Read>(layers: readonly Layer<R>[], innermost: Exchange<R>): Exchange<R> {
  return layers.reduceRight((next, layer) => layer(next), innermost);
}
