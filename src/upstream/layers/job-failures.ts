import { LRUCache } from 'lru-cache';
import { type Clock, systemClock } from '../../clock.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { SharedRead, ReadResult, Layer } from '../exchange.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/** Pause after the second failed read of a job, in milliseconds; doubled with each further one. The first has none. */
const FIRST_PAUSE_MS = 1000;
/** Longest pause while another job was read meanwhile: the trouble is this job's own. In milliseconds. */
const LONGEST_PAUSE_MS = 60_000;
/** Longest pause while no job was: it may be all of upstream that fails, which is to be found well again soon. */
const LONGEST_UNCERTAIN_PAUSE_MS = 10_000;
/** A job that has not been tried for so long after its pause starts anew, in milliseconds. */
const FORGOTTEN_AFTER_MS = 600_000;
/** Most jobs that are remembered: the one that failed longest ago is forgotten first. */
const MOST_JOBS = 10_000;

interface Failure {
  /** What the job's readers are answered. */
  readonly answer: Pick<GatewayError, 'status' | 'body'>;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  readonly pauseMs: number;
  readonly pausedUntil: number;
}

/**
 * Remembers which jobs upstream fails to answer for, so that one job's trouble costs ever fewer calls and nobody else's reads.
 * While a job is paused its reads get the same error again (a held copy is served in its place), with the end of the pause
 * as Retry-After. The first failed read brings no pause: one wrong answer is not a habit.
 */
export class JobFailures {
  readonly #failures = new LRUCache<string, Failure>({ max: MOST_JOBS });
  #lastSuccessAt = -Infinity;

  /**
   * @param longestRetryAfterMs the longest that upstream may ask to leave a job alone
   * @param onCut told of a longer one
   */
  constructor(
    private readonly longestRetryAfterMs: number,
    private readonly onCut: (saidMs: number, pauseMs: number) => void = () => undefined,
    private readonly clock: Clock = systemClock,
  ) {}

  /** Refuses the read of a job that is paused, before anything is spent on it. */
  readonly failFast: Layer<SharedRead> = (next) => async (read) => {
    const failure = this.#failureOf(read.jobId);
    const leftMs = (failure?.pausedUntil ?? 0) - this.clock.now();
    if (failure && leftMs > 0) throw withRetryAfter(failure.answer, leftMs);
    return next(read);
  };

  /** Records how each read ends. A job that has failed before gets one call a read. */
  readonly recordOutcome: Layer<SharedRead> = (next) => async (read) => {
    let found: ReadResult;
    const startedAt = this.clock.now();
    try {
      found = await next({ ...read, hasFailed: this.#failureOf(read.jobId) !== undefined });
    } catch (error) {
      if (!(error instanceof UpstreamFailure)) throw error;
      if (error.failsJob) throw this.#failed(read.jobId, error, startedAt);
      // A refusal is an answer: upstream does answer for this job.
      if (error.isAnswer) this.recordSuccess(read.jobId);
      throw error;
    }
    this.recordSuccess(read.jobId);
    return found;
  };

  /** Another replica has met the failure, and pauses the job until the error's Retry-After is over. */
  recordFailureElsewhere(jobId: string, error: GatewayError): void {
    const { retryAfterMs } = error.options;
    if (retryAfterMs === undefined || error.status < 500) return;
    const pauseMs = Math.min(this.longestRetryAfterMs, retryAfterMs);
    const now = this.clock.now();
    const known = this.#failureOf(jobId);
    this.#failures.set(jobId, {
      answer: answerOf(error),
      firstFailedAt: known?.firstFailedAt ?? now,
      lastFailedAt: now,
      pauseMs: Math.max(known?.pauseMs ?? 0, pauseMs),
      pausedUntil: Math.max(known?.pausedUntil ?? 0, now + pauseMs),
    });
  }

  /** The job was read, here or at another replica. */
  recordSuccess(jobId: string): void {
    this.#lastSuccessAt = this.clock.now();
    this.#failures.delete(jobId);
  }

  #failed(jobId: string, error: UpstreamFailure, startedAt: number): UpstreamFailure {
    const now = this.clock.now();
    const known = this.#failureOf(jobId);
    // Reads that fail together are one failure.
    if (known && startedAt < known.lastFailedAt) return paused(error, known.pausedUntil - now);
    const pauseMs = this.#pauseMs(known, error.call.retryAfterMs);
    this.#failures.set(jobId, {
      answer: answerOf(error),
      firstFailedAt: known?.firstFailedAt ?? now,
      lastFailedAt: now,
      pauseMs,
      pausedUntil: now + pauseMs,
    });
    return paused(error, pauseMs);
  }

  #pauseMs(known: Failure | undefined, saidMs = 0): number {
    const askedMs = Math.min(this.longestRetryAfterMs, saidMs);
    if (askedMs < saidMs) this.onCut(saidMs, askedMs);
    if (!known) return askedMs;
    const isOwnTrouble = this.#lastSuccessAt > known.firstFailedAt;
    const longestMs = isOwnTrouble ? LONGEST_PAUSE_MS : LONGEST_UNCERTAIN_PAUSE_MS;
    return Math.max(askedMs, Math.min(longestMs, Math.max(FIRST_PAUSE_MS, known.pauseMs * 2)));
  }

  #failureOf(jobId: string): Failure | undefined {
    const failure = this.#failures.get(jobId);
    if (!failure || this.clock.now() - failure.pausedUntil < FORGOTTEN_AFTER_MS) return failure;
    this.#failures.delete(jobId);
    return undefined;
  }
}

/** No more is kept of an error than its answer: neither its cause nor its stack. */
function answerOf({ status, body }: GatewayError): Failure['answer'] {
  return { status, body };
}

/** The failure that has brought about a pause. */
function paused(error: UpstreamFailure, retryAfterMs: number): UpstreamFailure {
  if (retryAfterMs <= 0) return error;
  const { status, body, options, call } = error;
  return new UpstreamFailure(call, GatewayError.told(status, body, { ...options, retryAfterMs }));
}

/** The same answer, with the time after which the job is tried again. */
function withRetryAfter({ status, body }: Failure['answer'], retryAfterMs: number): GatewayError {
  return GatewayError.told(status, body, { retryAfterMs });
}
