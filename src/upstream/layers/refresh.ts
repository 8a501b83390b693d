import { type Clock, systemClock } from '../../clock.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { Copies, Held } from '../copies.ts';
import type { JobCopy } from '../copy.ts';
import type { Exchange, Found, Read, Trip } from '../exchange.ts';
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
export function refresh(options: RefreshOptions): (next: Exchange<Trip>) => Exchange {
  const { copies, lifetimes, clock = systemClock } = options;
  return (next) => {
    const refreshes = new Refreshes(options, next);
    return async (read) => {
      const own = copies.inMemory(read.jobId);
      if (own && suits(own, read, lifetimes, clock.now())) return hit(own);
      const held = await copies.find(read.jobId);
      if (held && suits(held, read, lifetimes, clock.now())) return hit(held);
      if (held?.copy.kind === 'job' && isTaken(held, read)) {
        if (read.wants.onlyIfCached) return { ...hit(held), stale: 'stale' };
        // A finished copy is always fresh: this is one of a job that runs.
        return refreshes.answer(read, { ...held, copy: held.copy });
      }
      if (read.wants.onlyIfCached) throw GatewayError.of('NotCached');
      return goUpstream(next, read, held, options);
    };
  };
}

/** What is held as the answer, as it is. */
export function hit({ copy, source }: Held): Found {
  return { copy, source, collapsed: false };
}

/** Not older than its caller takes it. */
function isTaken({ copy }: Held, { wants, askedAt }: Asked): boolean {
  return copy.readAt + wants.maxAgeMs >= askedAt;
}

/** What of a read says which copies it takes. */
type Asked = Pick<Read, 'wants' | 'askedAt'>;

/**
 * Whether what is held is the answer, without a look upstream.
 * @param now on the clock of `readAt`
 */
export function suits(held: Held, asked: Asked, lifetimes: Lifetimes, now: number): boolean {
  return isFresh(held.copy, lifetimes, now) && isTaken(held, asked);
}

/** No copy will do: there is none, or the caller takes none so old. If this fails it gets the error. */
async function goUpstream(
  next: Exchange<Trip>,
  read: Read,
  held: Held | undefined,
  { lifetimes, clock = systemClock }: RefreshOptions,
): Promise<Found> {
  const known = held?.copy.kind === 'job' ? held.copy : undefined;
  const found = await next({ ...read, known, strict: read.wants.maxAgeMs < Infinity });
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
    private readonly next: Exchange<Trip>,
  ) {}

  /** The refreshed job, or else the copy. */
  async answer(read: Read, held: Held & { readonly copy: JobCopy }): Promise<Found> {
    const underWay = this.#underWay.get(read.jobId);
    const refresh = underWay ?? this.#begin(read, held.copy);
    // Nobody would wait for it so long: it is not even begun.
    if (!refresh) return { ...hit(held), stale: 'stale' };
    try {
      const waitMs = Math.min(this.options.waitMs, read.patienceMs);
      if (refresh.isLateFor(waitMs)) return { ...hit(held), stale: 'stale' };
      const found = await refresh.within(waitMs, read.gone.signal);
      if (!found) return { ...hit(held), forwarded: 'stale', stale: 'stale' };
      if (found.source !== 'upstream') return found;
      return { ...found, forwarded: 'stale', collapsed: found.collapsed || underWay !== undefined };
    } catch (error) {
      if (!isPassing(error)) throw error;
      const upstream = error instanceof UpstreamFailure ? { upstream: error.call.trace } : {};
      return { ...hit(held), ...upstream, forwarded: 'stale', stale: 'stale-if-error' };
    }
  }

  #begin(read: Read, known: JobCopy): RefreshUnderWay | undefined {
    const { jobId } = read;
    const { patienceMs, forecastMs } = this.options;
    if (forecastMs(known) > patienceMs) return undefined;
    const wants = { maxAgeMs: Infinity, onlyIfCached: false };
    const refresh = new RefreshUnderWay((progress) => {
      const gone = new AbortController();
      const trip = { ...read, wants, known, strict: false, patienceMs, gone, progress };
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
