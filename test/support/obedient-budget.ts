import type { Budget, Grant, Permit } from '../../src/budget/budget.ts';
import type { Clock } from '../../src/clock.ts';

/** A budget controlled by the test. */
export class ObedientBudget implements Budget {
  /** Permits left to grant; without any, grants tell to wait `otherwiseMs`. */
  permits = Infinity;
  otherwiseMs = 500;
  /** Times of `tryAcquire`, on the virtual clock. */
  readonly askedAt: number[] = [];
  /** Permits whose call was sent. */
  written = 0;
  /** Permits that were granted and not released. */
  granted = 0;
  closedMs = 0;
  forecastMs: (nth: number) => number = () => 0;

  readonly #clock: Clock;
  #closings = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async tryAcquire(count: number): Promise<Grant> {
    this.askedAt.push(this.#clock.now());
    const granted = Math.min(count, this.permits);
    this.permits -= granted;
    this.granted += granted;
    const permits = Array.from({ length: granted }, () => this.#permit());
    return { permits, waitMs: granted < count ? this.otherwiseMs : 0 };
  }

  #permit(): Permit {
    const closings = this.#closings;
    return {
      at: this.#clock.now(),
      isValid: () => closings === this.#closings,
      sent: () => {
        this.written++;
      },
      answered: () => undefined,
      release: () => {
        this.granted--;
        this.permits++;
      },
    };
  }

  close(forMs: number): void {
    this.#closings++;
    this.closedMs = Math.max(this.closedMs, forMs);
  }

  onRateLimited(retryAfterMs = 1000): void {
    this.close(retryAfterMs);
    this.permits = 0;
    this.otherwiseMs = this.closedMs;
  }

  state() {
    return { mode: 'local', windows: [], closedMs: this.closedMs } as const;
  }
}
