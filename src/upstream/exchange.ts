import type { Copy, JobCopy } from './copy.ts';
import type { Trace } from '../tracing/tracing.ts';
import type { Party } from './party.ts';
import type { TokenRefusal } from './token.ts';

/** The caller on whose behalf a read is made, as far as the layers care. */
export interface Reader {
  /** Whose reads share a line in the queue. */
  readonly line: string;
  /** Whether it may see a job of this iTwin (contract section 6). */
  maySee(iTwinId: string | undefined): boolean;
}

/** What a caller says of the copies that it takes (contract section 2). */
export interface Wants {
  /** The age up to which it takes a copy, in milliseconds; Infinity when it leaves that to the gateway. */
  readonly maxAgeMs: number;
  /** It takes what is held, and starts nothing. */
  readonly onlyIfCached: boolean;
}

/** Its signal aborts when nobody waits for the answer any more. It is made when it is first asked for: a hit needs none. */
export type Gone = Pick<AbortController, 'signal'>;

/** One read of one job. */
export interface Read {
  /** A UUID in lower case: safe in keys, URLs and log lines. */
  readonly jobId: string;
  readonly correlationId: string;
  readonly caller: Reader;
  readonly wants: Wants;
  /** When it came, on the clock of `performance.now()`. */
  readonly askedAt: number;
  /** How long it may wait for slots, all told, in milliseconds. */
  readonly patienceMs: number;
  readonly gone: Gone;
  /** The trace that it is part of, when there is tracing. */
  readonly trace?: Trace | undefined;
}

/** Is told how far a trip has come, here or at another replica. */
export interface Progress {
  /** In how many milliseconds its call is to be expected. */
  expected(waitMs: number): void;
  /** Its call has gone out. */
  sent(): void;
}

/** A read that no copy answers: it needs a call upstream, its own or another's. */
export interface Trip extends Read {
  /** The copy that is to be replaced: the read is its refresh, and stands behind the reads of jobs of which none is known. */
  readonly known: JobCopy | undefined;
  /** Only a call will do that is sent after the read came. */
  readonly strict: boolean;
  readonly progress?: Progress;
}

/** A trip that is shared by everyone who asks for the job at that time. */
export interface Flight extends Trip {
  /** Those who wait for the answer. */
  readonly party: Party;
  /** True when the read has been upstream before and asks for another slot: it goes first in its line. */
  readonly again: boolean;
  /** Its job's last read failed: it gets one call. */
  readonly hasFailed?: boolean;
  /** Calls that upstream refused with a 401 before. */
  readonly refusals?: readonly TokenRefusal[];
  /** Told when no copy will do, or when a call has failed: another will be made, here or at another replica. */
  readonly onWaiting: () => void;
  /** Told when a call for it goes out, here or at another replica. */
  readonly onSent: () => void;
  /** Told when the call has been written to its connection. */
  readonly onWritten?: () => void;
  /** Further header fields of its call. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether another replica has said since that the job is finished. */
  readonly heardOfEnd?: () => boolean;
  /** Told of each call that was made for it and failed, whatever comes of the read. */
  readonly onFailed: (trace: UpstreamTrace) => void;
}

/** Where a copy came from. */
export type Source = 'memory' | 'redis' | 'upstream';

/** Why no copy did (RFC 9211 `fwd`): there was none, it was stale, or the caller wanted a newer one. */
export type Forwarded = 'miss' | 'stale' | 'request';

/** A copy that is no longer fresh was served: its refresh goes on, or has failed. */
export type Staleness = 'stale' | 'stale-if-error';

/** What upstream said to one call, for the log. */
export interface UpstreamTrace {
  readonly status: number | 'timeout' | 'connection' | 'cancelled';
  /** Why a connection failed or an answer was cut off: `ECONNREFUSED`, `CERT_HAS_EXPIRED`, `HPE_HEADER_OVERFLOW`. */
  readonly code?: string;
  /** Upstream's own correlation id: its support asks for it. */
  readonly correlationId?: string;
}

/** The answer to a read. */
export interface Found {
  readonly copy: Copy;
  readonly source: Source;
  /** True when another caller's call answered this read as well (RFC 9211 `collapsed`). */
  readonly collapsed: boolean;
  readonly forwarded?: Forwarded;
  readonly stale?: Staleness;
  /** Of the last call, when the read went upstream. */
  readonly upstream?: UpstreamTrace;
}

/** The answer to a read of a job that there is. */
export type FoundJob = Found & { readonly copy: JobCopy };

/** Answers a read, or throws a `GatewayError`. */
export type Exchange<R extends Read = Read> = (read: R) => Promise<Found>;

/** Sends one call with a bearer token. */
export type Send = (read: Flight, token: string) => Promise<Found>;

/** The outermost exchange: a job that its caller may see, or an error. */
export type Face = (read: Read) => Promise<FoundJob>;

/** One concern, put around the next exchange. */
export type Layer<R extends Read = Read> = (next: Exchange<R>) => Exchange<R>;

/** Composes layers, outermost first, around the exchange that ends the way. */
export function stack<R extends Read>(layers: readonly Layer<R>[], innermost: Exchange<R>): Exchange<R> {
  return layers.reduceRight((next, layer) => layer(next), innermost);
}
