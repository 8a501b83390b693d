import { type Clock, systemClock } from '../../clock.ts';
import type { GatewayError } from '../../errors/gateway-error.ts';
import type { Copies } from '../copies.ts';
import { type Copy, isFinishedJob } from '../copy.ts';
import type { Exchange, SharedRead, ReadResult, Layer } from '../exchange.ts';
import { isFresh, type Lifetimes } from '../freshness.ts';
import { LeaseWait } from '../lease-wait.ts';
import type { Claim, Lease, Leases, LeaseEvents, SharedReadOutcome } from '../leases.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

export interface LeaseOptions {
  readonly copies: Copies;
  readonly lifetimes: Lifetimes;
  readonly leases: Leases;
  /** In how many milliseconds a read would have its turn here. */
  readonly forecastMs: (read: SharedRead) => number;
  /** What a waiter is told whose patience ends while another replica's read stands in line. */
  readonly refusal: (read: SharedRead) => GatewayError;
  /** How long the calls of one read can take at most, in milliseconds: a lease that says so for longer is taken over. */
  readonly longestSentMs: number;
  readonly clock?: Clock;
}

/**
 * One flight across replicas. Whoever gets the job's lease reads it; the others wait for word of it, and then find
 * the copy in the store. The claim and the look at the store go out together, in this order: a copy that was stored before the
 * lease was free is not missed. ARCHITECTURE.md tells the races.
 */
export function lease(options: LeaseOptions): Layer<SharedRead> {
  const { clock = systemClock, longestSentMs } = options;
  return (next) => async (read) => {
    const wait = new LeaseWait(longestSentMs, clock);
    let outcome: SharedReadOutcome | undefined;
    let overdue: string | undefined;
    for (let waited = false; ; waited = true) {
      wait.claims();
      const news = options.leases.listen(read.jobId);
      try {
        const [claim, held] = await Promise.all([
          options.leases.claim(read.jobId, options.forecastMs(read), overdue),
          options.copies.find(read.jobId),
        ]);
        const copy = answerTo(read, held?.copy, outcome, options);
        if (held && copy) {
          if (claim.kind === 'lease') void claim.lease.release({ kind: 'free' });
          return { copy, source: waited ? 'upstream' : held.source, collapsed: waited };
        }
        if (claim.kind === 'lease') return await lead(next, read, claim.lease, news);
        // The store says nothing, or a call is under way that is no answer to this read, or it has been said for too long.
        if (claim.kind === 'unknown' || (read.mustRevalidate && claim.sent) || overdue !== undefined) {
          return await goAlone(next, read, options.leases, news);
        }
        outcome = await follow(options, read, claim, news, wait);
        if (wait.isOverdue) overdue = claim.holder;
        if (outcome?.kind === 'failed') throw outcome.error;
        if (outcome?.kind === 'stored' && outcome.missing) {
          return { copy: { kind: 'missing', readAt: clock.now() }, source: 'upstream', collapsed: true };
        }
      } finally {
        news.end();
      }
    }
  };
}

/**
 * Whether a copy answers a read: one that is fresh, or that another replica has just read for it, however short it is fresh. A
 * strict one takes only what was called for after it came.
 */
function answerTo(
  read: SharedRead,
  copy: Copy | undefined,
  outcome: SharedReadOutcome | undefined,
  { lifetimes, clock = systemClock }: LeaseOptions,
): Copy | undefined {
  if (!copy) return undefined;
  const isNews = outcome?.kind === 'stored' && (!read.mustRevalidate || copy.readAt >= read.askedAt);
  return isNews || (!read.mustRevalidate && isFresh(copy, lifetimes, clock.now())) ? copy : undefined;
}

/** Reads for everyone, and lets them know. */
async function lead(
  next: Exchange<SharedRead>,
  read: SharedRead,
  held: Lease,
  news: LeaseEvents,
): Promise<ReadResult> {
  let isSent = false;
  const onSent = (): void => {
    isSent = true;
    held.sent();
    read.onSent();
  };
  const onQueued = (): void => {
    if (isSent) held.queued();
    isSent = false;
    read.onQueued();
  };
  try {
    const found = await next({ ...read, onSent, onQueued, finishedElsewhere: () => news.finished });
    const told = held.release(storedOutcome(found.copy));
    // Whoever hears of the end from here must not find an earlier state elsewhere.
    if (isFinishedJob(found.copy)) await told;
    return found;
  } catch (error) {
    void held.release(outcomeOf(error));
    throw error;
  }
}

/** Reads for this replica; of a job's end the others hear all the same. */
async function goAlone(
  next: Exchange<SharedRead>,
  read: SharedRead,
  leases: Leases,
  news: LeaseEvents,
): Promise<ReadResult> {
  const found = await next({ ...read, finishedElsewhere: () => news.finished });
  if (isFinishedJob(found.copy)) await leases.announce(read.jobId, storedOutcome(found.copy));
  return found;
}

/** Waits for the one who reads: for its word, or until its lease has run out without one or should be looked at again. */
async function follow(
  { refusal }: LeaseOptions,
  read: SharedRead,
  { sent, endsInMs, expectedMs }: Extract<Claim, { kind: 'taken' }>,
  news: LeaseEvents,
  wait: LeaseWait,
): Promise<SharedReadOutcome | undefined> {
  // The other one may be nearer to its turn by now: nobody is refused for what it expected before.
  const place = { forecastMs: () => 0, refusal: () => refusal(read), onCallersChanged: () => undefined };
  const onSent = (): void => {
    wait.sent();
    read.waiters.onDequeued();
    read.onSent();
  };
  const onQueued = (): void => {
    wait.notSent();
    read.onQueued();
    read.waiters.onEnqueued(place);
  };
  if (sent) onSent();
  else onQueued();
  if (!sent) read.progress?.onExpectedWait(expectedMs);
  try {
    const withinMs = wait.lookAgainMs(endsInMs, news.isComplete);
    const outcome = await news.outcome({ withinMs, signal: read.cancellation.signal, onSent, onQueued });
    // Patience runs meanwhile: however often the lease changes hands, the read waits no longer than its readers do.
    if (outcome?.kind !== 'failed') await wait.untilNextClaim(read.cancellation.signal);
    return outcome;
  } finally {
    wait.notSent();
    read.waiters.onDequeued();
  }
}

function storedOutcome(copy: Copy): SharedReadOutcome {
  const missing = copy.kind === 'missing';
  return { kind: 'stored', finished: isFinishedJob(copy), missing, etag: missing ? undefined : copy.etag };
}

/** What upstream said is the answer to all who waited; that this replica's own waiters had no patience concerns nobody else. */
function outcomeOf(error: unknown): SharedReadOutcome {
  if (!(error instanceof UpstreamFailure)) return { kind: 'free' };
  const { kind, outcome } = error.call;
  // A token is its replica's own, and so is what it meets.
  const shares = kind !== 'rate-limited' && (outcome.status !== 401 || kind === 'job-refused');
  return shares ? { kind: 'failed', error } : { kind: 'free' };
}
