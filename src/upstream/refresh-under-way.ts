import { type Clock, systemClock } from '../clock.ts';
import { CallerGone } from '../errors/caller-gone.ts';
import type { ReadResult } from './exchange.ts';
import type { ReadObserver } from './shared-read-state.ts';

/**
 * A reader waits when the call is expected within this part of its wait; the rest is for the call and for errors of the
 * forecast.
 */
const FORECAST_PART = 0.5;
/** A call that is later than expected by so much, in milliseconds, is not waited for any longer. */
const OVERDUE_MS = 100;

/** The refresh of one copy. It goes on whether a reader waits for it or not. */
export class RefreshUnderWay {
  readonly #result: Promise<ReadResult>;
  /** When its call is expected, on the clock; undefined once it has been sent. */
  #expectedAt: number | undefined;
  /** Called when the expectation changes. */
  readonly #onExpectation = new Set<() => void>();

  constructor(
    begin: (observer: ReadObserver) => Promise<ReadResult>,
    private readonly clock: Clock = systemClock,
  ) {
    this.#expectedAt = clock.now();
    this.#result = begin({
      // Gate and queue each give a forecast, and both hold: the later counts.
      onExpectedWait: (waitMs) => {
        this.#expect(Math.max(this.#expectedAt ?? 0, this.clock.now() + waitMs));
      },
      onPhase: (phase) => {
        if (phase === 'called') this.#expect(undefined);
      },
    });
    // A failure without a reader is no unhandled rejection.
    this.#result.catch(() => undefined);
  }

  /** Whether the call is known to come too late for a wait of so many milliseconds. */
  isLateFor(waitMs: number): boolean {
    return this.#isLate(this.clock.now() + waitMs * FORECAST_PART);
  }

  /**
   * The result, if it comes within so many milliseconds; undefined as soon as it is known not to.
   * @throws errors of the refresh; `CallerGone` when the signal aborts
   */
  async within(waitMs: number, signal: AbortSignal): Promise<ReadResult | undefined> {
    const { promise: tooLate, resolve, reject } = Promise.withResolvers<undefined>();
    const now = this.clock.now();
    const [latestCall, end] = [now + waitMs * FORECAST_PART, now + waitMs];
    let cancelTimer: (() => void) | undefined;
    const check = (): void => {
      cancelTimer?.();
      if (this.#isLate(latestCall) || this.clock.now() >= end) resolve(undefined);
      else cancelTimer = this.clock.after(Math.min(end, this.#overdueAt) - this.clock.now() + 1, check);
    };
    const gone = (): void => {
      reject(new CallerGone());
    };
    signal.addEventListener('abort', gone, { once: true });
    this.#onExpectation.add(check);
    check();
    try {
      return await Promise.race([this.#result, tooLate]);
    } finally {
      cancelTimer?.();
      this.#onExpectation.delete(check);
      signal.removeEventListener('abort', gone);
    }
  }

  #expect(at: number | undefined): void {
    this.#expectedAt = at;
    for (const check of this.#onExpectation) check();
  }

  get #overdueAt(): number {
    return (this.#expectedAt ?? Infinity) + OVERDUE_MS;
  }

  #isLate(latestCall: number): boolean {
    return (this.#expectedAt ?? 0) > latestCall || this.#overdueAt < this.clock.now();
  }
}
