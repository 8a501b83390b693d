import type { Budget, Permit } from '../../src/budget/budget.ts';
import type { Clock } from '../../src/clock.ts';

/** A budget that does as it is told. */
export class ObedientBudget implements Budget {
  /** Reads that it lets go, before it says `otherwiseMs`. */
  permits = Infinity;
  otherwiseMs = 500;
  /** When it was asked, on the virtual clock. */
  readonly askedAt: number[] = [];
  /** Permits whose call was written to its connection. */
  written = 0;
  closedMs = 0;
  forecastMs: (nth: number) => number = () => 0;

  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async ask(): Promise<Permit | number> {
    this.askedAt.push(this.#clock.now());
    if (this.permits-- > 0) return { sent: () => this.written++ };
    this.permits = 0;
    return this.otherwiseMs;
  }

  close(forMs: number): void {
    this.closedMs = Math.max(this.closedMs, forMs);
  }

  refused(retryAfterMs = 1000): void {
    this.close(retryAfterMs);
    this.permits = 0;
    this.otherwiseMs = this.closedMs;
  }

  state() {
    return { mode: 'local', windows: [], closedMs: this.closedMs } as const;
  }
}
