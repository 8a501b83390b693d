import { GatewayError } from '../../errors/gateway-error.ts';
import type { Copy } from '../copy.ts';
import type { Exchange, Flight, Found, Layer } from '../exchange.ts';
import type { Claim, Lease, Leases, News, Outcome } from '../leases.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/** The copies that all replicas share and that outlive a restart. A fault of the store is a miss, never an error. */
export interface SharedCopies {
  get(jobId: string): Promise<Copy | undefined>;
  /**
   * Keeps a copy for as long as it is good.
   * @returns the copy that is good now: what is not finished never replaces what is
   */
  put(jobId: string, copy: Copy): Promise<Copy>;
}

export interface SharedOptions {
  readonly copies: SharedCopies;
  readonly leases: Leases;
  /** What a waiter is told whose patience ends while another replica's read stands in line. */
  readonly refusal: (read: Flight) => GatewayError;
}

/**
 * One flight across replicas. Whoever gets the job's lease reads it; the others wait for word of it, and then find
 * the copy in the store. The claim and the look at the store go out together, in this order: a copy that was stored before the
 * lease was free is not missed. ARCHITECTURE.md tells the races.
 */
export function shared(options: SharedOptions): Layer<Flight> {
  return (next) => async (read) => {
    for (let waited = false; ; waited = true) {
      const news = options.leases.listen(read.jobId);
      try {
        const [claim, copy] = await Promise.all([
          options.leases.claim(read.jobId),
          options.copies.get(read.jobId),
        ]);
        if (copy) {
          if (claim.kind === 'lease') void claim.lease.release({ kind: 'free' });
          return { copy, source: waited ? 'upstream' : 'redis', collapsed: waited };
        }
        if (claim.kind === 'lease') return await lead(options, next, read, claim.lease, news);
        if (claim.kind === 'unknown') return await alone(options, next, read);
        const outcome = await follow(options, read, claim, news);
        if (outcome?.kind === 'failed') throw outcome.error;
      } finally {
        news.end();
      }
    }
  };
}

/** Reads for everyone, and lets them know. */
async function lead(
  { copies }: SharedOptions,
  next: Exchange<Flight>,
  read: Flight,
  lease: Lease,
  news: News,
): Promise<Found> {
  const onSent = (): void => {
    lease.sent();
    read.onSent?.();
  };
  try {
    const found = await next({ ...read, onSent });
    let copy = await copies.put(read.jobId, found.copy);
    // Its end has become known elsewhere since: what was read before is not the answer any more.
    if (!isFinished(copy) && news.finished) copy = (await copies.get(read.jobId)) ?? copy;
    const finished = isFinished(copy);
    const told = lease.release({ kind: 'stored', finished });
    // Whoever hears of the end from here must not find an earlier state elsewhere.
    if (finished) await told;
    return { ...found, copy };
  } catch (error) {
    void lease.release(outcomeOf(error));
    throw error;
  }
}

/** Without word from the store each replica reads on its own. */
async function alone({ copies }: SharedOptions, next: Exchange<Flight>, read: Flight): Promise<Found> {
  const found = await next(read);
  return { ...found, copy: await copies.put(read.jobId, found.copy) };
}

/** Waits for the one who reads: for its word, or until its lease has run out without one. */
async function follow(
  { refusal }: SharedOptions,
  read: Flight,
  { sent, endsInMs }: Extract<Claim, { kind: 'taken' }>,
  news: News,
): Promise<Outcome | undefined> {
  // How long the other one's line is, is not known here.
  const place = { forecastMs: () => 0, refusal: () => refusal(read), onCallers: () => undefined };
  if (!sent) read.party.standInLine(place);
  try {
    return await news.outcome({
      withinMs: endsInMs,
      signal: read.signal,
      onSent: () => {
        read.party.leaveLine();
        read.onSent?.();
      },
    });
  } finally {
    read.party.leaveLine();
  }
}

function isFinished(copy: Copy): boolean {
  return copy.kind === 'job' && copy.finished;
}

/** What upstream said is the answer to all who waited; that this replica's own waiters had no patience concerns nobody else. */
function outcomeOf(error: unknown): Outcome {
  const shares = error instanceof UpstreamFailure && error.call.kind !== 'rate-limited';
  return shares ? { kind: 'failed', error } : { kind: 'free' };
}
