import { CircuitState, circuitBreaker, ConsecutiveBreaker, Event, handleResultType } from 'cockatiel';
import type { Budget } from '../../budget/budget.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { Exchange, SharedRead, ReadResult, Layer, CallOutcome } from '../exchange.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/**
 * Jobs whose calls have to fail in a row to open the circuit: as many as there are slots by default. A job counts once.
 */
const CONSECUTIVE_FAILURES = 10;
/**
 * Jobs that have to be answered 503 with Retry-After within a minute, with no success between, to close the gate for
 * all.
 */
const JOBS_TO_CLOSE_GATE = 3;
const RETRY_AFTER_VALID_MS = 60_000;
/** From the opening to the trial, in milliseconds; doubled with each failed trial, up to the longest. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 10_000;

/** Told once when the circuit opens and once when it closes, whatever trials there were between. */
export interface CircuitObserver {
  /**
   * @param status how the last failed call ended
   * @param code why, if known
   */
  circuitOpened(status: CallOutcome['status'], code?: string): void;
  circuitClosed(): void;
}

const CANCELLED: CallOutcome = { status: 'cancelled' };

/**
 * A call that failed. It is a result to Cockatiel, which counts errors only as failures: some of these show that
 * upstream works.
 */
class FailedAttempt {
  readonly status: CallOutcome['status'];
  readonly code: string | undefined;

  constructor(
    readonly error: unknown,
    readonly isTrial: boolean,
  ) {
    const { status, code } = error instanceof UpstreamFailure ? error.call.outcome : CANCELLED;
    this.status = status;
    this.code = code;
  }

  /** Upstream answered, and not with a server error. */
  get isHealthy(): boolean {
    return typeof this.status === 'number' && this.status < 500;
  }

  /** The caller went away, or there was no token: upstream was not asked. */
  get isInconclusive(): boolean {
    return this.status === 'cancelled';
  }
}

/**
 * Opens when upstream fails for distinct jobs with no success between; then no call is made until a single one, the
 * trial, has succeeded. It also closes the budget's gate when upstream answers distinct jobs with Retry-After.
 *
 * Cockatiel counts, and allows one trial at a time. The pause before the trial is measured here: Cockatiel reads the
 * wall clock, and one that is set back would keep the circuit open.
 */
export class Circuit {
  readonly #breaker = circuitBreaker(
    handleResultType(FailedAttempt, ({ isHealthy }) => !isHealthy),
    { breaker: new ConsecutiveBreaker(CONSECUTIVE_FAILURES), halfOpenAfter: -Infinity },
  );
  #pausedUntil = -Infinity;
  #failedTrials = 0;
  /** Jobs whose calls have failed since the last healthy answer. */
  readonly #failedJobs = new Set<string>();
  /** Jobs that were answered 503 with Retry-After since then, and when. */
  readonly #retryAfterJobs = new Map<string, number>();
  /** The error that opened it, or kept it open. */
  #cause: Error | undefined;

  /**
   * @param budget its gate is closed on Retry-After; refusals name no earlier time than its opening
   * @param clock monotonic, in milliseconds
   */
  constructor(
    private readonly observer: CircuitObserver,
    private readonly budget: Pick<Budget, 'state' | 'close'>,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.#breaker.onBreak((reason) => {
      if ('value' in reason && reason.value instanceof FailedAttempt) this.#onOpened(reason.value);
    });
    this.#breaker.onReset(() => {
      this.#failedTrials = 0;
      this.#cause = undefined;
      this.observer.circuitClosed();
    });
  }

  get state(): 'closed' | 'open' | 'half-open' {
    switch (this.#breaker.state) {
      case CircuitState.Closed:
        return 'closed';
      case CircuitState.HalfOpen:
        return 'half-open';
      case CircuitState.Open:
      case CircuitState.Isolated:
        return 'open';
    }
  }

  /** Refuses a read before it is queued, so that the answer names the reason and not a forecast of the queue. */
  readonly failFast: Layer<SharedRead> = (next) => async (read) => {
    this.#refuseWhilePaused();
    return next(read);
  };

  /**
   * To be awaited before a permit is spent. While a trial is under way it waits for its end, which comes with the
   * call's.
   */
  async admit(): Promise<void> {
    while (this.state === 'half-open') await Event.toPromise(this.#breaker.onStateChange);
    this.#refuseWhilePaused();
  }

  /** Counts how each call ends. */
  readonly recordOutcome: Layer<SharedRead> = (next) => async (read) => {
    // During a trial the queue sends no second call. One that came all the same could only wait, past the moment of its
    // permit.
    if (this.state === 'half-open') throw this.#unavailable(FIRST_PAUSE_MS);
    this.#refuseWhilePaused();
    const result = await this.#breaker.execute(() => this.#call(next, read));
    if (result instanceof FailedAttempt) throw result.error;
    return result;
  };

  /** @throws errors that count as neither success nor failure */
  async #call(next: Exchange<SharedRead>, read: SharedRead): Promise<ReadResult | FailedAttempt> {
    const isTrial = this.state === 'half-open';
    try {
      const found = await next(read);
      this.#resetCounts();
      return found;
    } catch (error) {
      const attempt = new FailedAttempt(error, isTrial);
      if (attempt.isHealthy) this.#resetCounts();
      else this.#countRetryAfter(read.jobId, error);
      if (isTrial) return attempt;
      // The trial alone decides, not a call from before the circuit opened.
      if (attempt.isInconclusive || this.state !== 'closed') throw error;
      if (!attempt.isHealthy && !this.#isFirstOf(read.jobId)) throw error;
      return attempt;
    }
  }

  /** A healthy answer starts the counts anew. */
  #resetCounts(): void {
    this.#failedJobs.clear();
    this.#retryAfterJobs.clear();
  }

  /** The set stays small: it is cleared when as many have failed as open the circuit. */
  #isFirstOf(jobId: string): boolean {
    if (this.#failedJobs.has(jobId)) return false;
    this.#failedJobs.add(jobId);
    return true;
  }

  /**
   * Closes the gate when enough jobs were answered with Retry-After. That of one job pauses only that job
   * (`JobFailures`).
   */
  #countRetryAfter(jobId: string, error: unknown): void {
    if (!(error instanceof UpstreamFailure) || error.call.outcome.status !== 503) return;
    const { retryAfterMs } = error.call;
    if (retryAfterMs === undefined) return;
    const now = this.clock();
    for (const [job, at] of this.#retryAfterJobs)
      if (now - at > RETRY_AFTER_VALID_MS) this.#retryAfterJobs.delete(job);
    this.#retryAfterJobs.set(jobId, now);
    if (this.#retryAfterJobs.size < JOBS_TO_CLOSE_GATE) return;
    this.budget.close(retryAfterMs);
    // The next closing needs as many new answers.
    this.#retryAfterJobs.clear();
  }

  #onOpened({ isTrial, isInconclusive, status, code, error }: FailedAttempt): void {
    // After a trial without an answer the next read is the trial, without another pause.
    if (isInconclusive) return;
    if (isTrial) this.#failedTrials++;
    else this.observer.circuitOpened(status, code);
    if (error instanceof Error) this.#cause = error;
    this.#failedJobs.clear();
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failedTrials);
    this.#pausedUntil = this.clock() + pauseMs;
  }

  #refuseWhilePaused(): void {
    const pauseMs = this.#pausedUntil - this.clock();
    if (this.state === 'open' && pauseMs > 0) throw this.#unavailable(pauseMs);
  }

  #unavailable(pauseMs: number): GatewayError {
    const { closedMs } = this.budget.state();
    const retryAfterMs = Math.max(pauseMs, closedMs);
    return GatewayError.of('ServiceUnavailable', { retryAfterMs, cause: this.#cause });
  }
}
