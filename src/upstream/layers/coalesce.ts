import { type Clock, systemClock } from '../../clock.ts';
import { CallerGone } from '../../errors/caller-gone.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import {
  type Exchange,
  type ReadResult,
  type SharedRead,
  type UpstreamRead,
  withForecast,
} from '../exchange.ts';
import { SharedReadState } from '../shared-read-state.ts';
import { UpstreamFailure, withCallOutcome } from '../upstream-failure.ts';
import type { Waiter } from '../waiters.ts';

/** A read under way that all who ask for its job wait for. */
class ReadUnderWay {
  readonly #state: SharedReadState;
  readonly #cancellation = new AbortController();
  #result: Promise<ReadResult> | undefined;
  #isOver = false;

  /**
   * @param first the read that began it
   * @param onEnd called at its end, or when its last waiter has left
   */
  constructor(
    private readonly first: UpstreamRead,
    private readonly onEnd: () => void,
    clock: Clock,
  ) {
    this.#state = new SharedReadState(clock);
    if (first.observer) this.#state.observe(first.observer);
  }

  /** To be called when there is a waiter: the layers inside ask for its patience. */
  start(next: Exchange<SharedRead>): void {
    const { callers } = this.#state.waiters;
    const shared = { ...this.first, state: this.#state, callers, cancellation: this.#cancellation };
    this.#result = next({ ...shared, isRetry: false }).finally(() => {
      this.#isOver = true;
      this.onEnd();
    });
  }

  /** Whether its answer is one for this read as well. */
  answers({ mustRevalidate }: UpstreamRead): boolean {
    if (!mustRevalidate) return true;
    const { phase } = this.#state;
    return phase === 'queued' || (phase === 'lookup' && this.first.mustRevalidate);
  }

  traceJoin(read: UpstreamRead): void {
    if (this.first.trace) read.trace?.joins(this.first.trace);
  }

  /** Waits for the answer until the waiter is refused or goes away. The last waiter to leave cancels the read. */
  async wait(read: UpstreamRead, onWaiting?: () => void): Promise<ReadResult> {
    const { signal } = read.cancellation;
    const ended = Promise.withResolvers<never>();
    const { queueKey: caller } = read.caller;
    const waiter: Waiter = { caller, patienceMs: read.patienceMs, refuse: ended.reject };
    const gone = (): void => {
      ended.reject(new CallerGone());
    };
    signal.addEventListener('abort', gone, { once: true });
    this.#state.waiters.add(waiter);
    try {
      onWaiting?.();
      if (!this.#result) throw new Error('a read is started by its first waiter');
      return await Promise.race([this.#result, ended.promise]);
    } catch (error) {
      // A refused retry: the log tells of the call before it.
      const isRefusal = error instanceof GatewayError && !(error instanceof UpstreamFailure);
      throw isRefusal ? withCallOutcome(error, this.#state.lastFailure) : error;
    } finally {
      signal.removeEventListener('abort', gone);
      this.#state.waiters.remove(waiter);
      if (this.#state.waiters.size === 0) this.#abandon();
    }
  }

  /**
   * The last waiter has left. `onEnd` comes before the abort, so that no new caller joins a read that is being
   * cancelled.
   */
  #abandon(): void {
    if (this.#isOver) return;
    this.onEnd();
    this.#cancellation.abort(new CallerGone());
    // Its rejection has no other handler now.
    this.#result?.catch(() => undefined);
  }
}

/**
 * Answers all who ask for one job at one time with one read (single flight). An error goes to those who wait, and to no
 * later caller.
 */
export function coalesce(next: Exchange<SharedRead>, clock: Clock = systemClock): Exchange<UpstreamRead> {
  /** The latest read of each job: it has most of its way before it. */
  const reads = new Map<string, ReadUnderWay>();
  return withForecast<UpstreamRead>(async (read) => {
    if (read.cancellation.signal.aborted) throw new CallerGone();
    const { jobId } = read;
    const underWay = reads.get(jobId);
    if (underWay?.answers(read)) {
      underWay.traceJoin(read);
      const found = await underWay.wait(read);
      return { ...found, collapsed: found.source === 'upstream' };
    }
    const onEnd = (): void => {
      if (reads.get(jobId) === started) reads.delete(jobId);
    };
    const started = new ReadUnderWay(read, onEnd, clock);
    reads.set(jobId, started);
    return started.wait(read, () => {
      started.start(next);
    });
  }, next.forecast);
}
