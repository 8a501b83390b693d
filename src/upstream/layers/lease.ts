import { type Clock, systemClock } from '../../clock.ts';
import type { Copies } from '../copies.ts';
import { type Copy, isFinishedJob } from '../copy.ts';
import type { Exchange, Layer, ReadResult, SharedRead } from '../exchange.ts';
import { tooManyRequests } from '../forecast.ts';
import { isFresh, type Lifetimes } from '../freshness.ts';
import { LeaseWait } from '../lease-wait.ts';
import type { Claim, Lease, LeaseEvents, Leases, SharedReadOutcome } from '../leases.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

export interface LeaseOptions {
  readonly copies: Copies;
  readonly lifetimes: Lifetimes;
  readonly leases: Leases;
  /** Longest time that the calls of one read can take, in milliseconds: a lease that claims longer is taken over. */
  readonly longestSentMs: number;
  readonly clock?: Clock;
}

/**
 * One read across replicas. The replica that gets the job's lease makes the call; the others wait for its outcome and
 * find the copy in the store. The claim and the look-up in the store go out together, in this order: a copy that was
 * stored before the lease was free is not missed. ARCHITECTURE.md lists the races.
 */
export function lease(options: LeaseOptions): Layer<SharedRead> {
  const { clock = systemClock, longestSentMs, leases, copies } = options;
  return (next) => async (read) => {
    const wait = new LeaseWait(longestSentMs, clock);
    let outcome: SharedReadOutcome | undefined;
    let overdueHolder: string | undefined;
    for (let hasWaited = false; ; hasWaited = true) {
      wait.onClaim();
      const events = leases.listen(read.jobId);
      try {
        const [claim, held] = await Promise.all([
          leases.claim(read.jobId, next.forecast?.(read).waitMs ?? 0, overdueHolder),
          copies.find(read.jobId),
        ]);
        const copy = answerTo(read, held?.copy, outcome, options);
        if (held && copy) {
          if (claim.kind === 'lease') void claim.lease.release({ kind: 'free' });
          return { copy, source: hasWaited ? 'upstream' : held.source, collapsed: hasWaited };
        }
        if (claim.kind === 'lease') return await readForAll(current(next, events, copies), read, claim.lease);
        if (claim.kind === 'unknown' || (read.mustRevalidate && claim.sent) || overdueHolder !== undefined)
          return await readAlone(current(next, events, copies), read, leases);
        outcome = await follow(next, read, claim, events, wait);
        if (wait.isOverdue) overdueHolder = claim.holder;
        if (outcome?.kind === 'failed') throw outcome.error;
        if (outcome?.kind === 'stored' && outcome.missing)
          return { copy: { kind: 'missing', readAt: clock.now() }, source: 'upstream', collapsed: true };
      } finally {
        events.end();
      }
    }
  };
}

/**
 * The copy, if it answers the read: a fresh one, or one that another replica has just read for it, however short it is
 * fresh. A revalidation accepts only a call that was sent after it came.
 */
function answerTo(
  read: SharedRead,
  copy: Copy | undefined,
  outcome: SharedReadOutcome | undefined,
  { lifetimes, clock = systemClock }: LeaseOptions,
): Copy | undefined {
  if (!copy) return undefined;
  const isNew = outcome?.kind === 'stored' && (!read.mustRevalidate || copy.readAt >= read.askedAt);
  return isNew || (!read.mustRevalidate && isFresh(copy, lifetimes, clock.now())) ? copy : undefined;
}

/** Reads with the lease, and tells the other replicas how far it is. */
async function readForAll(next: Exchange<SharedRead>, read: SharedRead, held: Lease): Promise<ReadResult> {
  const unobserve = announcePhases(read, held);
  try {
    const found = await next(read);
    const released = held.release(storedOutcome(found.copy));
    // No other replica may show an earlier state once this one has shown the final one.
    if (isFinishedJob(found.copy)) await released;
    return found;
  } catch (error) {
    void held.release(outcomeOf(error));
    throw error;
  } finally {
    unobserve();
  }
}

function announcePhases({ state }: SharedRead, held: Lease): () => void {
  let isSent = false;
  return state.observe({
    onPhase: (phase) => {
      if (phase === 'called') held.sent();
      else if (phase === 'queued' && isSent) held.queued();
      else return;
      isSent = phase === 'called';
    },
  });
}

/** Reads without the lease. The other replicas are told only when the job is finished. */
async function readAlone(next: Exchange<SharedRead>, read: SharedRead, leases: Leases): Promise<ReadResult> {
  const found = await next(read);
  if (isFinishedJob(found.copy)) await leases.announce(read.jobId, storedOutcome(found.copy));
  return found;
}

/** The job's end may be announced while an earlier state is on its way here: then the stored copy is the answer. */
function current(
  next: Exchange<SharedRead>,
  events: LeaseEvents,
  copies: Copies,
): (read: SharedRead) => Promise<ReadResult> {
  return async (read) => {
    const found = await next(read);
    if (isFinishedJob(found.copy) || !events.finished) return found;
    return { ...found, copy: (await copies.find(read.jobId))?.copy ?? found.copy };
  };
}

/** Waits for the outcome of the holder's read, until its lease has run out without one or has to be looked at again. */
async function follow(
  { forecast }: Exchange<SharedRead>,
  read: SharedRead,
  { sent, endsInMs, expectedMs }: Extract<Claim, { kind: 'taken' }>,
  events: LeaseEvents,
  wait: LeaseWait,
): Promise<SharedReadOutcome | undefined> {
  const { state, cancellation } = read;
  // The holder may be nearer to its turn by now: no waiter is refused for what it expected before.
  const position = {
    forecast: () => ({ waitMs: 0, refusal: () => forecast?.(read).refusal() ?? tooManyRequests(0) }),
  };
  const onSent = (): void => {
    wait.onSent();
    state.call();
  };
  const onQueued = (): void => {
    wait.onNotSent();
    state.queue(position);
  };
  if (sent) onSent();
  else onQueued();
  if (!sent) state.expectCall(expectedMs);
  try {
    const withinMs = wait.nextLookMs(endsInMs, events.isComplete);
    const outcome = await events.outcome({ withinMs, signal: cancellation.signal, onSent, onQueued });
    // Patience runs meanwhile: however often the lease changes hands, waiters wait no longer than they would.
    if (outcome?.kind !== 'failed') await wait.untilNextClaim(cancellation.signal);
    return outcome;
  } finally {
    wait.onNotSent();
    state.leaveQueue();
  }
}

function storedOutcome(copy: Copy): SharedReadOutcome {
  const missing = copy.kind === 'missing';
  return { kind: 'stored', finished: isFinishedJob(copy), missing, etag: missing ? undefined : copy.etag };
}

/**
 * Upstream's answer is shared with all who wait. A refusal here for lack of patience or quota concerns no other
 * replica.
 */
function outcomeOf(error: unknown): SharedReadOutcome {
  if (!(error instanceof UpstreamFailure)) return { kind: 'free' };
  const { kind, outcome } = error.call;
  // Each replica has a token of its own: a 401 to it says nothing about the others'.
  const isShared = kind !== 'rate-limited' && (outcome.status !== 401 || kind === 'job-refused');
  return isShared ? { kind: 'failed', error } : { kind: 'free' };
}
