import { CallerGone } from '../../errors/caller-gone.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { Copies, Held } from '../copies.ts';
import type { JobCopy } from '../copy.ts';
import type { Exchange, Found, Read, Trip } from '../exchange.ts';
import { isFresh, type Lifetimes } from '../freshness.ts';
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
}

/**
 * Which copy answers, and when upstream is asked (contract section 3, Freshness): a fresh copy at once; an older one is
 * refreshed, and served all the same when that takes long or fails. What the caller says goes before.
 */
export function refresh(options: RefreshOptions): (next: Exchange<Trip>) => Exchange {
  return (next) => {
    const refreshes = new Refreshes(options, next);
    return async (read) => {
      const own = options.copies.inMemory(read.jobId);
      if (own && suits(own, read, options)) return hit(own);
      const held = await options.copies.find(read.jobId);
      if (held && suits(held, read, options)) return hit(held);
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

function hit({ copy, source }: Held): Found {
  return { copy, source, collapsed: false };
}

/** Not older than its caller takes it. */
function isTaken({ copy }: Held, { wants, askedAt }: Read): boolean {
  return copy.readAt + wants.maxAgeMs >= askedAt;
}

function suits(held: Held, read: Read, { lifetimes }: RefreshOptions): boolean {
  return isFresh(held.copy, lifetimes) && isTaken(held, read);
}

/** No copy will do: there is none, or the caller takes none so old. If this fails it gets the error. */
async function goUpstream(
  next: Exchange<Trip>,
  read: Read,
  held: Held | undefined,
  { lifetimes }: RefreshOptions,
): Promise<Found> {
  const known = held?.copy.kind === 'job' ? held.copy : undefined;
  const found = await next({ ...read, known, strict: read.wants.maxAgeMs < Infinity });
  // Another replica has stored one since.
  if (found.source !== 'upstream') return found;
  if (!held) return { ...found, forwarded: 'miss' };
  return { ...found, forwarded: isFresh(held.copy, lifetimes) ? 'request' : 'stale' };
}

/** The refreshes under way. They go on when nobody waits for them any more. */
class Refreshes {
  readonly #underWay = new Map<string, Promise<Found>>();

  constructor(
    private readonly options: RefreshOptions,
    private readonly next: Exchange<Trip>,
  ) {}

  /** The refreshed job, or else the copy. */
  async answer(read: Read, held: Held & { readonly copy: JobCopy }): Promise<Found> {
    const waitMs = Math.min(this.options.waitMs, read.patienceMs);
    const forecastMs = this.#underWay.has(read.jobId) ? 0 : this.options.forecastMs(held.copy);
    // Nobody would wait for it so long: it is not even begun.
    if (forecastMs > this.options.patienceMs) return { ...hit(held), stale: 'stale' };
    const refreshed = this.#begin(read, held.copy);
    if (forecastMs > waitMs) return { ...hit(held), stale: 'stale' };
    try {
      const found = await within(waitMs, refreshed, read.signal);
      if (!found) return { ...hit(held), stale: 'stale' };
      return found.source === 'upstream' ? { ...found, forwarded: 'stale' } : found;
    } catch (error) {
      if (!isPassing(error)) throw error;
      const upstream = error instanceof UpstreamFailure ? { upstream: error.call.trace } : {};
      return { ...hit(held), ...upstream, forwarded: 'stale', stale: 'stale-if-error' };
    }
  }

  #begin(read: Read, known: JobCopy): Promise<Found> {
    const { jobId } = read;
    const underWay = this.#underWay.get(jobId);
    if (underWay) return underWay;
    const { patienceMs } = this.options;
    const signal = new AbortController().signal;
    const wants = { maxAgeMs: Infinity, onlyIfCached: false };
    const trip: Trip = { ...read, wants, known, strict: false, patienceMs, signal };
    const refreshed = this.next(trip).finally(() => this.#underWay.delete(jobId));
    this.#underWay.set(jobId, refreshed);
    // Whoever waits is told; when nobody does, it interests nobody.
    refreshed.catch(() => undefined);
    return refreshed;
  }
}

/** What another time may go well: a copy is better than this (429, 5xx, timeout, connection, token). */
function isPassing(error: unknown): boolean {
  return error instanceof GatewayError && (error.status === 429 || error.status >= 500);
}

/** What is found within so many milliseconds. Ends at once when the caller goes away. */
function within(waitMs: number, found: Promise<Found>, signal: AbortSignal): Promise<Found | undefined> {
  return new Promise((resolve, reject) => {
    const gone = (): void => {
      reject(new CallerGone());
    };
    const timer = setTimeout(resolve, waitMs, undefined);
    const settled = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', gone);
    };
    signal.addEventListener('abort', gone, { once: true });
    found.then(resolve, reject).finally(settled).catch(reject);
  });
}
