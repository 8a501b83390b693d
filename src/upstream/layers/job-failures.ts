import { LRUCache } from 'lru-cache';
import { type Clock, systemClock } from '../../clock.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { SharedRead, ReadResult, Layer } from '../exchange.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/**
 * Pause after a job's second failed read, in milliseconds; doubled with each further one. There is none after the
 * first.
 */
const FIRST_PAUSE_MS = 1000;
/** Longest pause when other jobs were read meanwhile, in milliseconds: the failure is the job's own. */
const LONGEST_PAUSE_MS = 60_000;
/**
 * Longest pause when none was, in milliseconds: all of upstream may be failing, and its recovery is to be noticed soon.
 */
const LONGEST_UNCERTAIN_PAUSE_MS = 10_000;
/** From the end of a pause, in milliseconds; then the failures are forgotten. */
const FORGOTTEN_AFTER_MS = 600_000;
/** Most jobs in memory; the one that failed longest ago is forgotten first. */
const MOST_JOBS = 10_000;

interface Failure {
  /** The answer to reads of the job. */
  readonly answer: Pick<GatewayError, 'status' | 'body'>;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  readonly pauseMs: number;
  readonly pausedUntil: number;
}

/**
 * Pauses jobs for which upstream fails, so that one job costs ever fewer calls and delays no other. During a pause
 * reads of the job get the same error (or a stale copy), with the end of the pause as Retry-After. The first failed
 * read brings no pause.
 */
export class JobFailures {
  readonly #failures = new LRUCache<string, Failure>({ max: MOST_JOBS });
  #lastSuccessAt = -Infinity;

  /**
   * @param longestRetryAfterMs bound of a job's Retry-After
   * @param onCut told of a longer one
   */
  constructor(
    private readonly longestRetryAfterMs: number,
    private readonly onCut: (saidMs: number, pauseMs: number) => void = () => undefined,
    private readonly clock: Clock = systemClock,
  ) {}

  /** Refuses reads of paused jobs. */
  readonly failFast: Layer<SharedRead> = (next) => async (read) => {
    const failure = this.#failureOf(read.jobId);
    const leftMs = (failure?.pausedUntil ?? 0) - this.clock.now();
    if (failure && leftMs > 0) throw withRetryAfter(failure.answer, leftMs);
    return next(read);
  };

  /** Records how each read ends. After a failure, reads of the job get one call each. */
  readonly recordOutcome: Layer<SharedRead> = (next) => async (read) => {
    let found: ReadResult;
    const startedAt = this.clock.now();
    try {
      found = await next({ ...read, hasFailed: this.#failureOf(read.jobId) !== undefined });
    } catch (error) {
      if (!(error instanceof UpstreamFailure)) throw error;
      if (error.failsJob) throw this.#failed(read.jobId, error, startedAt);
      // A refusal (4xx) shows that upstream answers for this job.
      if (error.isAnswer) this.recordSuccess(read.jobId);
      throw error;
    }
    this.recordSuccess(read.jobId);
    return found;
  };

  /** Pauses the job for the error's Retry-After, as the replica does that met the failure. */
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
    // Reads that were under way together count as one failure.
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
    const isOwnFailure = this.#lastSuccessAt > known.firstFailedAt;
    const longestMs = isOwnFailure ? LONGEST_PAUSE_MS : LONGEST_UNCERTAIN_PAUSE_MS;
    return Math.max(askedMs, Math.min(longestMs, Math.max(FIRST_PAUSE_MS, known.pauseMs * 2)));
  }

  #failureOf(jobId: string): Failure | undefined {
    const failure = this.#failures.get(jobId);
    if (!failure || this.clock.now() - failure.pausedUntil < FORGOTTEN_AFTER_MS) return failure;
    this.#failures.delete(jobId);
    return undefined;
  }
}

/** Cause and stack of the error are not kept in memory. */
function answerOf({ status, body }: GatewayError): Failure['answer'] {
  return { status, body };
}

/** The failure, with the pause that it caused as Retry-After. */
function paused(error: UpstreamFailure, retryAfterMs: number): UpstreamFailure {
  if (retryAfterMs <= 0) return error;
  const { status, body, options, call } = error;
  return new UpstreamFailure(call, GatewayError.told(status, body, { ...options, retryAfterMs }));
}

/** The same answer, with what is left of the pause. */
function withRetryAfter({ status, body }: Failure['answer'], retryAfterMs: number): GatewayError {
  return GatewayError.told(status, body, { retryAfterMs });
}
