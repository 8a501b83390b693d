import type { Budget, BudgetState } from './budget.ts';
import { Forecast } from './forecast.ts';
import { Gate } from './gate.ts';
import { LEAST_STEP_MS, type Limit, type SpreadWindow, spreadWindows } from './window.ts';

/** How old a forecast may be, in milliseconds, before it is made anew. */
const FORECAST_GOOD_FOR_MS = 250;

/**
 * Timers fire a little late. A send that is no later than this after its due time, in milliseconds, is counted as of that
 * time: else each window would begin a little later than the one before, and their sum is lost. What upstream sees is
 * earlier by no more than this against what is counted, which takes at most half of the windows' margin.
 */
const LATENESS_MS = 20;

export interface LocalBudgetOptions {
  /** Shortest window first, each with the name that the settings give it. */
  readonly limits: readonly (Limit & { readonly name: string })[];
  readonly marginMs: number;
  /** How many replicas share the limits: this one takes its part. */
  readonly replicas: number;
}

/** The budget of one process that asks nobody else. */
export class LocalBudget implements Budget {
  readonly #names: readonly string[];
  readonly #latenessMs: number;
  readonly #windows: readonly SpreadWindow[];
  readonly #gate = new Gate();
  /** When the next send was last said to be due. */
  #dueAt = Infinity;
  #forecast: Forecast | undefined;
  #sentSinceForecast = 0;

  /** @param clock milliseconds that never go back */
  constructor(
    { limits, marginMs, replicas }: LocalBudgetOptions,
    private readonly clock: () => number = () => performance.now(),
  ) {
    const own = limits.map(({ limit, windowMs }) => ({
      limit: Math.max(1, Math.floor(limit / replicas)),
      windowMs,
    }));
    this.#latenessMs = Math.min(LATENESS_MS, marginMs / 2);
    this.#names = limits.map(({ name }) => name);
    this.#windows = spreadWindows(own, marginMs);
  }

  ask(): Promise<number> {
    const now = this.clock();
    const lateMs = now - this.#dueAt;
    let at = lateMs >= 0 && lateMs <= this.#latenessMs ? this.#dueAt : now;
    // From the due time the arithmetic goes on step by step, as it would have if the timer had been in time.
    for (let waitMs = this.#waitMs(at); waitMs > 0; waitMs = this.#waitMs(at)) {
      at += Math.max(waitMs, LEAST_STEP_MS);
      if (at <= now) continue;
      this.#dueAt = at;
      return Promise.resolve(at - now);
    }
    return this.#go(at);
  }

  #waitMs(at: number): number {
    return Math.max(this.#gate.closedMs(at), ...this.#windows.map((window) => window.wait(at)));
  }

  #go(at: number): Promise<number> {
    for (const window of this.#windows) window.take(at);
    this.#sentSinceForecast++;
    this.#dueAt = Infinity;
    return Promise.resolve(0);
  }

  forecastMs(nth: number): number {
    const now = this.clock();
    if (!this.#forecast || now - this.#forecast.from > FORECAST_GOOD_FOR_MS) {
      this.#forecast = new Forecast(this.#windows, now, this.#gate.closedUntil);
      this.#sentSinceForecast = 0;
    }
    return Math.max(0, this.#forecast.timeOf(this.#sentSinceForecast + nth) - now);
  }

  close(forMs: number): void {
    this.#gate.close(this.clock(), forMs);
    for (const window of this.#windows) window.closeUntil(this.#gate.closedUntil);
    this.#forecast = undefined;
  }

  refused(retryAfterMs: number | undefined): void {
    const now = this.clock();
    const first = this.#gate.closedMs(now) === 0;
    // A refusal without a word, while another has closed the gate, says nothing new.
    if (first || retryAfterMs !== undefined) this.close(retryAfterMs ?? this.#gate.backoffMs(now));
    if (first) for (const window of this.#windows) window.cut(this.#gate.closedUntil);
  }

  state(): BudgetState {
    const now = this.clock();
    const windows = this.#windows.map((window, index) => ({
      name: this.#names[index] ?? '',
      remaining: window.remaining(now),
    }));
    return { windows, closedMs: this.#gate.closedMs(now) };
  }
}
