import { CircuitState, circuitBreaker, ConsecutiveBreaker, Event, handleResultType } from 'cockatiel';
import type { Budget } from '../../budget/budget.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { Exchange, SharedRead, ReadResult, Layer, CallOutcome } from '../exchange.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/** So many jobs in a row whose calls fail open the circuit: what all slots of a default setting meet. A job counts once. */
const FAILURES_IN_A_ROW = 10;
/** So many jobs have to be answered 503 with Retry-After within a minute, and none well between, before nothing is sent for any. */
const JOBS_FOR_CLOSING = 3;
const SAID_GOOD_FOR_MS = 60_000;
/** From the last of them to the trial, in milliseconds; doubled with each trial that fails, up to the longest. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 10_000;

/** Told once when upstream is given up and once when it is back, whatever trials there were between. */
export interface CircuitObserver {
  /**
   * @param status how the last of the failed calls ended
   * @param code why, when that is known
   */
  circuitOpened(status: CallOutcome['status'], code?: string): void;
  circuitClosed(): void;
}

const CANCELLED: CallOutcome = { status: 'cancelled' };

/** A call that brought nothing. Handed to Cockatiel as a result, because of what is thrown it counts failures alone. */
class Ended {
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

  /** An answer, whatever it says but that it failed. */
  get showsLife(): boolean {
    return typeof this.status === 'number' && this.status < 500;
  }

  /** The caller went away, or there was no token: it never came to an answer. */
  get saysNothing(): boolean {
    return this.status === 'cancelled';
  }
}

/**
 * When upstream fails steadily, for distinct jobs and with no success between, nothing is sent until one call alone, the trial,
 * has gone well; and when it says for distinct jobs how long to wait, nothing is sent until then.
 *
 * Cockatiel counts, and sees to it that the trial is one. When it may be made is judged here: Cockatiel looks at the wall
 * clock, and one that is set back would keep the circuit open.
 */
export class Circuit {
  readonly #breaker = circuitBreaker(
    handleResultType(Ended, ({ showsLife }) => !showsLife),
    { breaker: new ConsecutiveBreaker(FAILURES_IN_A_ROW), halfOpenAfter: -Infinity },
  );
  #pausedUntil = -Infinity;
  #failedTrials = 0;
  /** Jobs whose calls have failed since the last sign of life. */
  readonly #failedJobs = new Set<string>();
  /** Jobs that were answered 503 with Retry-After since then, and when. */
  readonly #askedToWait = new Map<string, number>();
  /** What opened it, or kept it open. */
  #cause: Error | undefined;

  /**
   * @param budget its gate is closed when upstream wants that; nobody is told to come again before it opens
   * @param clock milliseconds that never go back
   */
  constructor(
    private readonly observer: CircuitObserver,
    private readonly budget: Pick<Budget, 'state' | 'close'>,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.#breaker.onBreak((reason) => {
      if ('value' in reason && reason.value instanceof Ended) this.#opened(reason.value);
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

  /** Refuses a read when it comes: it takes no place in line, and no forecast of the queue stands before the reason. */
  readonly failFast: Layer<SharedRead> = (next) => async (read) => {
    this.#refuseWhilePaused();
    return next(read);
  };

  /** Asked before anything is spent on a call. While a trial is under way it waits for its end, which the call bounds. */
  async admit(): Promise<void> {
    while (this.state === 'half-open') await Event.toPromise(this.#breaker.onStateChange);
    this.#refuseWhilePaused();
  }

  /** Takes note of how each call ends. */
  readonly recordOutcome: Layer<SharedRead> = (next) => async (read) => {
    // The queue lets no second call come while there is a trial; it would be answered late, and not be sent in its moment.
    if (this.state === 'half-open') throw this.#unavailable(FIRST_PAUSE_MS);
    this.#refuseWhilePaused();
    const ended = await this.#breaker.execute(() => this.#call(next, read));
    if (ended instanceof Ended) throw ended.error;
    return ended;
  };

  /** Throws what is to be counted as neither good nor bad. */
  async #call(next: Exchange<SharedRead>, read: SharedRead): Promise<ReadResult | Ended> {
    const isTrial = this.state === 'half-open';
    try {
      const found = await next(read);
      this.#startRun();
      return found;
    } catch (error) {
      const ended = new Ended(error, isTrial);
      if (ended.showsLife) this.#startRun();
      else this.#closeGate(read.jobId, error);
      if (isTrial) return ended;
      // A call from before the circuit opened does not decide instead of the trial.
      if (ended.saysNothing || this.state !== 'closed') throw error;
      if (!ended.showsLife && !this.#isFirstOf(read.jobId)) throw error;
      return ended;
    }
  }

  /** After a sign of life everything is counted anew. */
  #startRun(): void {
    this.#failedJobs.clear();
    this.#askedToWait.clear();
  }

  /** As many as open the circuit are remembered, never more. */
  #isFirstOf(jobId: string): boolean {
    if (this.#failedJobs.has(jobId)) return false;
    this.#failedJobs.add(jobId);
    return true;
  }

  /** Before anything else can be sent. One job's Retry-After concerns that job alone (`JobFailures`). */
  #closeGate(jobId: string, error: unknown): void {
    if (!(error instanceof UpstreamFailure) || error.call.outcome.status !== 503) return;
    const { retryAfterMs } = error.call;
    if (retryAfterMs === undefined) return;
    const now = this.clock();
    for (const [job, at] of this.#askedToWait) if (now - at > SAID_GOOD_FOR_MS) this.#askedToWait.delete(job);
    this.#askedToWait.set(jobId, now);
    if (this.#askedToWait.size < JOBS_FOR_CLOSING) return;
    this.budget.close(retryAfterMs);
    // The next closing is not for the word of the same jobs alone.
    this.#askedToWait.clear();
  }

  #opened({ isTrial, saysNothing, status, code, error }: Ended): void {
    // A trial that came to no answer has ended no pause and begins none: the next read is the trial.
    if (saysNothing) return;
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
