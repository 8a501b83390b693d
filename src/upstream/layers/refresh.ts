import { type Clock, systemClock } from '../../clock.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { Copies, HeldCopy } from '../copies.ts';
import type { JobCopy } from '../copy.ts';
import type { Exchange, ReadResult, Read, UpstreamRead } from '../exchange.ts';
import { isFresh, type Lifetimes } from '../freshness.ts';
import { RefreshUnderWay } from '../refresh-under-way.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

export interface RefreshOptions {
  readonly copies: Copies;
  readonly lifetimes: Lifetimes;
  /** How long a reader waits for the refresh of a copy that could be served, in milliseconds. */
  readonly waitMs: number;
  /** How long a refresh itself is ready to wait for its slots, in milliseconds. */
  readonly patienceMs: number;
  /** When the refresh of a copy would have its slot, in milliseconds from now. */
  readonly forecastMs: (copy: JobCopy) => number;
  readonly clock?: Clock;
}

/**
 * Which copy answers, and when upstream is asked (contract section 3, Freshness): a fresh copy at once; an older one is
 * refreshed, and served all the same when that takes long or fails. What the caller says goes before.
 */
export function refresh(options: RefreshOptions): (next: Exchange<UpstreamRead>) => Exchange {
  const { copies, lifetimes, clock = systemClock } = options;
  return (next) => {
    const refreshes = new Refreshes(options, next);
    return async (read) => {
      const fresh = freshInMemory(copies, read, lifetimes, clock.now());
      if (fresh) return fresh;
      const held = await copies.find(read.jobId);
      if (held && satisfies(held, read, lifetimes, clock.now())) return cacheHit(held);
      if (held?.copy.kind === 'job' && isTaken(held, read)) {
        if (read.directives.onlyIfCached) return { ...cacheHit(held), stale: 'stale' };
        // A finished copy is always fresh: this is one of a job that runs.
        return refreshes.answer(read, { ...held, copy: held.copy });
      }
      if (read.directives.onlyIfCached) throw GatewayError.of('NotCached');
      return goUpstream(next, read, held, options);
    };
  };
}

/**
 * The answer to a read that this process holds fresh.
 * @param now on the clock of `readAt`
 */
export function freshInMemory(
  copies: Pick<Copies, 'peekMemory'>,
  read: Asked & Pick<Read, 'jobId'>,
  lifetimes: Lifetimes,
  now: number,
): ReadResult | undefined {
  const held = copies.peekMemory(read.jobId);
  return held && satisfies(held, read, lifetimes, now) ? cacheHit(held) : undefined;
}

/** What is held as the answer, as it is. */
function cacheHit({ copy, source }: HeldCopy): ReadResult {
  return { copy, source, collapsed: false };
}

/** Not older than its caller takes it. */
function isTaken({ copy }: HeldCopy, { directives, askedAt }: Asked): boolean {
  return copy.readAt + directives.maxAgeMs >= askedAt;
}

/** What of a read says which copies it takes. */
type Asked = Pick<Read, 'directives' | 'askedAt'>;

/**
 * Whether what is held is the answer, without a look upstream.
 * @param now on the clock of `readAt`
 */
function satisfies(held: HeldCopy, asked: Asked, lifetimes: Lifetimes, now: number): boolean {
  return isFresh(held.copy, lifetimes, now) && isTaken(held, asked);
}

/** No copy will do: there is none, or the caller takes none so old. If this fails it gets the error. */
async function goUpstream(
  next: Exchange<UpstreamRead>,
  read: Read,
  held: HeldCopy | undefined,
  { lifetimes, clock = systemClock }: RefreshOptions,
): Promise<ReadResult> {
  const staleCopy = held?.copy.kind === 'job' ? held.copy : undefined;
  const found = await next({ ...read, staleCopy, mustRevalidate: read.directives.maxAgeMs < Infinity });
  // Another replica has stored one since.
  if (found.source !== 'upstream') return found;
  if (!held) return { ...found, forwarded: 'miss' };
  return { ...found, forwarded: isFresh(held.copy, lifetimes, clock.now()) ? 'request' : 'stale' };
}

/** The refreshes under way. They go on when nobody waits for them any more. */
class Refreshes {
  readonly #underWay = new Map<string, RefreshUnderWay>();

  constructor(
    private readonly options: RefreshOptions,
    private readonly next: Exchange<UpstreamRead>,
  ) {}

  /** The refreshed job, or else the copy. */
  async answer(read: Read, held: HeldCopy & { readonly copy: JobCopy }): Promise<ReadResult> {
    const underWay = this.#underWay.get(read.jobId);
    const refresh = underWay ?? this.#begin(read, held.copy);
    // Nobody would wait for it so long: it is not even begun.
    if (!refresh) return { ...cacheHit(held), stale: 'stale' };
    try {
      const waitMs = Math.min(this.options.waitMs, read.patienceMs);
      if (refresh.isLateFor(waitMs)) return { ...cacheHit(held), stale: 'stale' };
      const found = await refresh.within(waitMs, read.cancellation.signal);
      if (!found) return { ...cacheHit(held), forwarded: 'stale', stale: 'stale' };
      if (found.source !== 'upstream') return found;
      return { ...found, forwarded: 'stale', collapsed: found.collapsed || underWay !== undefined };
    } catch (error) {
      if (!isPassing(error)) throw error;
      const upstream = error instanceof UpstreamFailure ? { upstream: error.call.outcome } : {};
      return { ...cacheHit(held), ...upstream, forwarded: 'stale', stale: 'stale-if-error' };
    }
  }

  #begin(read: Read, staleCopy: JobCopy): RefreshUnderWay | undefined {
    const { jobId } = read;
    const { patienceMs, forecastMs } = this.options;
    if (forecastMs(staleCopy) > patienceMs) return undefined;
    const directives = { maxAgeMs: Infinity, onlyIfCached: false };
    const refresh = new RefreshUnderWay((progress) => {
      const cancellation = new AbortController();
      const trip = {
        ...read,
        directives,
        staleCopy,
        mustRevalidate: false,
        patienceMs,
        cancellation,
        progress,
      };
      return this.next(trip).finally(() => this.#underWay.delete(jobId));
    }, this.options.clock);
    this.#underWay.set(jobId, refresh);
    return refresh;
  }
}

/** What another time may go well: a copy is better than this (429, 5xx, timeout, connection, token). */
function isPassing(error: unknown): boolean {
  return error instanceof GatewayError && (error.status === 429 || error.status >= 500);
}
