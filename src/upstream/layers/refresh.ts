import { type Clock, systemClock } from '../../clock.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { Copies, HeldCopy } from '../copies.ts';
import type { JobCopy } from '../copy.ts';
import type { Exchange, Read, ReadResult, UpstreamRead } from '../exchange.ts';
import { isFresh, type Lifetimes } from '../freshness.ts';
import { RefreshUnderWay } from '../refresh-under-way.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

export interface RefreshOptions {
  readonly copies: Copies;
  readonly lifetimes: Lifetimes;
  /** Longest wait of a reader for the refresh of a copy that could be served, in milliseconds. */
  readonly waitMs: number;
  /** Longest wait of a refresh itself in queues, in milliseconds. */
  readonly patienceMs: number;
  readonly clock?: Clock;
}

/**
 * Decides which copy is the answer and when upstream is called (docs/CONTRACT.md, section 3, Freshness). A fresh copy is served
 * at once. An older one is refreshed, and served all the same when the refresh takes long or fails. The caller's
 * directives come first.
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
      if (held?.copy.kind === 'job' && isYoungEnough(held, read)) {
        if (read.directives.onlyIfCached) return { ...cacheHit(held), stale: 'stale' };
        // Copies of finished jobs are always fresh: this is an active one.
        return refreshes.answer(read, { ...held, copy: held.copy });
      }
      if (read.directives.onlyIfCached) throw GatewayError.of('NotCached');
      return forward(next, read, held, options);
    };
  };
}

/**
 * A fresh copy in this process' memory, as the answer to the read.
 * @param now on the clock of `readAt`
 */
export function freshInMemory(
  copies: Pick<Copies, 'peekMemory'>,
  read: Directed & Pick<Read, 'jobId'>,
  lifetimes: Lifetimes,
  now: number,
): ReadResult | undefined {
  const held = copies.peekMemory(read.jobId);
  return held && satisfies(held, read, lifetimes, now) ? cacheHit(held) : undefined;
}

/** The copy as an answer without a call. */
function cacheHit({ copy, source }: HeldCopy): ReadResult {
  return { copy, source, collapsed: false };
}

/** The part of a read that says which copies it accepts. */
type Directed = Pick<Read, 'directives' | 'askedAt'>;

function isYoungEnough({ copy }: HeldCopy, { directives, askedAt }: Directed): boolean {
  return copy.readAt + directives.maxAgeMs >= askedAt;
}

/**
 * Whether a copy answers the read without a call.
 * @param now on the clock of `readAt`
 */
function satisfies(held: HeldCopy, read: Directed, lifetimes: Lifetimes, now: number): boolean {
  return isFresh(held.copy, lifetimes, now) && isYoungEnough(held, read);
}

/** There is no copy, or none young enough for the caller, who gets the error if the call fails. */
async function forward(
  next: Exchange<UpstreamRead>,
  read: Read,
  held: HeldCopy | undefined,
  { lifetimes, clock = systemClock }: RefreshOptions,
): Promise<ReadResult> {
  const staleCopy = held?.copy.kind === 'job' ? held.copy : undefined;
  const found = await next({ ...read, staleCopy, mustRevalidate: read.directives.maxAgeMs < Infinity });
  // Another replica has stored one meanwhile.
  if (found.source !== 'upstream') return found;
  if (!held) return { ...found, forwarded: 'miss' };
  return { ...found, forwarded: isFresh(held.copy, lifetimes, clock.now()) ? 'request' : 'stale' };
}

/** The refreshes under way. They go on without readers. */
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
    if (!refresh) return { ...cacheHit(held), stale: 'stale' };
    try {
      const waitMs = Math.min(this.options.waitMs, read.patienceMs);
      if (refresh.isLateFor(waitMs)) return { ...cacheHit(held), stale: 'stale' };
      const found = await refresh.within(waitMs, read.cancellation.signal);
      if (!found) return { ...cacheHit(held), forwarded: 'stale', stale: 'stale' };
      if (found.source !== 'upstream') return found;
      return { ...found, forwarded: 'stale', collapsed: found.collapsed || underWay !== undefined };
    } catch (error) {
      if (!isTemporary(error)) throw error;
      const upstream = error instanceof UpstreamFailure ? { upstream: error.call.outcome } : {};
      return { ...cacheHit(held), ...upstream, forwarded: 'stale', stale: 'stale-if-error' };
    }
  }

  /** @returns undefined when its call would come later than it has patience for */
  #begin(read: Read, staleCopy: JobCopy): RefreshUnderWay | undefined {
    const { jobId, caller } = read;
    const { patienceMs, clock } = this.options;
    const place = { callers: [caller.queueKey], isRetry: false, staleCopy, mustRevalidate: false };
    const forecast = this.next.forecast?.(place);
    if (forecast && forecast.waitMs > patienceMs) return undefined;
    const directives = { maxAgeMs: Infinity, onlyIfCached: false };
    const refresh = new RefreshUnderWay((observer) => {
      const cancellation = new AbortController();
      const own = { directives, staleCopy, mustRevalidate: false, patienceMs, cancellation, observer };
      return this.next({ ...read, ...own }).finally(() => this.#underWay.delete(jobId));
    }, clock);
    this.#underWay.set(jobId, refresh);
    return refresh;
  }
}

/** Another call may go well, so that a stale copy is the better answer (429, 5xx, timeout, connection, token). */
function isTemporary(error: unknown): boolean {
  return error instanceof GatewayError && (error.status === 429 || error.status >= 500);
}
