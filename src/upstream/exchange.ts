import type { Copy } from './copy.ts';
import type { Party } from './party.ts';

/** The caller on whose behalf a read is made, as far as the layers care. */
export interface Reader {
  /** Its name in the callers file: the name of its line in the queue. */
  readonly name: string;
  /** Whether it may see a job of this iTwin (contract section 6). */
  maySee(iTwinId: string | undefined): boolean;
}

/** One read of one job, on its way to upstream. */
export interface Read {
  /** A UUID in lower case: safe in keys, URLs and log lines. */
  readonly jobId: string;
  readonly correlationId: string;
  readonly caller: Reader;
  /** How long it may wait for slots, all told, in milliseconds. */
  readonly patienceMs: number;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** A read that is shared by everyone who asks for the job at that time. */
export interface Flight extends Read {
  /** Those who wait for the answer. */
  readonly party: Party;
  /** True when the read has been upstream before and asks for another slot: it goes first in its line. */
  readonly again: boolean;
  /** Told when a call for it goes out, here or at another replica. */
  readonly onSent?: () => void;
  /** Told of each call that was made for it and failed, whatever comes of the read. */
  readonly onFailed?: (trace: UpstreamTrace) => void;
}

/** Where a copy came from. */
export type Source = 'memory' | 'redis' | 'upstream';

/** What upstream said to one call, for the log. */
export interface UpstreamTrace {
  readonly status: number | 'timeout' | 'connection' | 'cancelled';
  /** Upstream's own correlation id: its support asks for it. */
  readonly correlationId?: string;
}

/** The answer to a read. */
export interface Found {
  readonly copy: Copy;
  readonly source: Source;
  /** True when another caller's call answered this read as well (RFC 9211 `collapsed`). */
  readonly collapsed: boolean;
  /** Of the last call, when the read went upstream. */
  readonly upstream?: UpstreamTrace;
}

/** Answers a read, or throws a `GatewayError`. */
export type Exchange<R extends Read = Read> = (read: R) => Promise<Found>;

/** One concern, put around the next exchange. */
export type Layer<R extends Read = Read> = (next: Exchange<R>) => Exchange<R>;

/** Composes layers, outermost first, around the exchange that ends the way. */
export function stack<R extends Read>(layers: readonly Layer<R>[], innermost: Exchange<R>): Exchange<R> {
  return layers.reduceRight((next, layer) => layer(next), innermost);
}
