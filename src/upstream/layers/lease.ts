import type { GatewayError } from '../../errors/gateway-error.ts';
import type { Copies } from '../copies.ts';
import { type Copy, isFinishedJob } from '../copy.ts';
import type { Exchange, Flight, Found, Layer } from '../exchange.ts';
import { isFresh, type Lifetimes } from '../freshness.ts';
import type { Claim, Lease, Leases, News, Outcome } from '../leases.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

export interface LeaseOptions {
  readonly copies: Copies;
  readonly lifetimes: Lifetimes;
  readonly leases: Leases;
  /** In how many milliseconds a read would have its turn here. */
  readonly forecastMs: (read: Flight) => number;
  /** What a waiter is told whose patience ends while another replica's read stands in line. */
  readonly refusal: (read: Flight) => GatewayError;
}

/**
 * One flight across replicas. Whoever gets the job's lease reads it; the others wait for word of it, and then find
 * the copy in the store. The claim and the look at the store go out together, in this order: a copy that was stored before the
 * lease was free is not missed. ARCHITECTURE.md tells the races.
 */
export function lease(options: LeaseOptions): Layer<Flight> {
  return (next) => async (read) => {
    for (let waited = false; ; waited = true) {
      const news = options.leases.listen(read.jobId);
      try {
        const [claim, held] = await Promise.all([
          options.leases.claim(read.jobId, options.forecastMs(read)),
          options.copies.find(read.jobId),
        ]);
        if (held && answers(held.copy, read, waited, options)) {
          if (claim.kind === 'lease') void claim.lease.release({ kind: 'free' });
          return { copy: held.copy, source: waited ? 'upstream' : held.source, collapsed: waited };
        }
        if (claim.kind === 'lease') return await lead(next, read, claim.lease, news);
        if (claim.kind === 'unknown') return await next(read);
        // The call that is under way is no answer to this read.
        if (read.strict && claim.sent) return await goAlone(next, read, options.leases);
        const outcome = await follow(options, read, claim, news);
        if (outcome?.kind === 'failed') throw outcome.error;
      } finally {
        news.end();
      }
    }
  };
}

/** A strict read takes only what was called for after it came: what another replica has read while it waited. */
function answers(copy: Copy, read: Flight, waited: boolean, { lifetimes }: LeaseOptions): boolean {
  return read.strict ? waited && copy.readAt >= read.askedAt : isFresh(copy, lifetimes);
}

/** Reads for everyone, and lets them know. */
async function lead(next: Exchange<Flight>, read: Flight, held: Lease, news: News): Promise<Found> {
  const onSent = (): void => {
    held.sent();
    read.onSent();
  };
  try {
    const found = await next({ ...read, onSent, heardOfEnd: () => news.finished });
    const finished = isFinishedJob(found.copy);
    const told = held.release({ kind: 'stored', finished });
    // Whoever hears of the end from here must not find an earlier state elsewhere.
    if (finished) await told;
    return found;
  } catch (error) {
    void held.release(outcomeOf(error));
    throw error;
  }
}

async function goAlone(next: Exchange<Flight>, read: Flight, leases: Leases): Promise<Found> {
  const found = await next(read);
  const finished = isFinishedJob(found.copy);
  if (finished) await leases.tell(read.jobId, { kind: 'stored', finished });
  return found;
}

/** Waits for the one who reads: for its word, or until its lease has run out without one. */
async function follow(
  { refusal }: LeaseOptions,
  read: Flight,
  { sent, endsInMs, expectedMs }: Extract<Claim, { kind: 'taken' }>,
  news: News,
): Promise<Outcome | undefined> {
  if (sent) read.onSent();
  else {
    read.onMissed();
    read.progress?.expected(expectedMs);
    // The other one may be nearer to its turn by now: nobody is refused for what it expected before.
    const place = { forecastMs: () => 0, refusal: () => refusal(read), onCallers: () => undefined };
    read.party.standInLine(place);
  }
  try {
    return await news.outcome({
      withinMs: endsInMs,
      signal: read.signal,
      onSent: () => {
        read.party.leaveLine();
        read.onSent();
      },
    });
  } finally {
    read.party.leaveLine();
  }
}

/** What upstream said is the answer to all who waited; that this replica's own waiters had no patience concerns nobody else. */
function outcomeOf(error: unknown): Outcome {
  const shares = error instanceof UpstreamFailure && error.call.kind !== 'rate-limited';
  return shares ? { kind: 'failed', error } : { kind: 'free' };
}
