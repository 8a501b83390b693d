import { WINDOW_CONSTANTS } from './window-constants.ts';
import type { SpreadWindow } from './window.ts';

/** Age at which a simulation is replaced, in milliseconds. */
const MAX_AGE_MS = 250;
/**
 * Most steps of one simulation; sends beyond its end are estimated. This bounds its cost however long the gate is
 * closed and however many reads wait.
 */
const MAX_STEPS = 2000;

/** Simulates the next sends on copies of the windows, each as early as the arithmetic allows. */
class Simulation {
  readonly #times: number[] = [];
  readonly #windows: readonly SpreadWindow[];
  #now: number;
  #steps = 0;
  /** Sends made since it began. */
  sent = 0;

  /**
   * @param from time of the copies
   * @param opensAt when the gate opens, if it is closed: nothing is sent before
   */
  constructor(
    windows: readonly SpreadWindow[],
    readonly from: number,
    opensAt: number,
  ) {
    this.#windows = windows.map((window) => window.clone());
    this.#now = Math.max(from, opensAt);
  }

  /** Time of the nth send, counted from 1. */
  timeOf(nth: number): number {
    while (this.#times.length < nth && this.#steps < MAX_STEPS) this.#step();
    return this.#times[nth - 1] ?? this.#estimate(nth - this.#times.length);
  }

  /** Makes one send, or advances to when one may be allowed. */
  #step(): void {
    this.#steps++;
    const waitMs = Math.max(...this.#windows.map((window) => window.waitMs(this.#now)));
    if (waitMs > 0) {
      this.#now += Math.max(waitMs, WINDOW_CONSTANTS.minStepMs);
      return;
    }
    for (const window of this.#windows) window.consume(this.#now);
    this.#times.push(this.#now);
  }

  #estimate(sends: number): number {
    return this.#now + Math.max(...this.#windows.map((window) => window.estimateMs(sends, this.#now)));
  }
}

/** Forecasts of one budget. Each read asks for one, so a simulation is reused for a while. */
export class Forecast {
  #simulation: Simulation | undefined;

  /** @param snapshot the windows as they are now, and when the gate opens */
  constructor(private readonly snapshot: () => { windows: readonly SpreadWindow[]; opensAt: number }) {}

  /** Expected time until the nth send, in milliseconds from `now`. */
  forecastMs(nth: number, now: number): number {
    if (!this.#simulation || now - this.#simulation.from > MAX_AGE_MS) {
      const { windows, opensAt } = this.snapshot();
      this.#simulation = new Simulation(windows, now, opensAt);
    }
    return Math.max(0, this.#simulation.timeOf(this.#simulation.sent + nth) - now);
  }

  onSend(): void {
    if (this.#simulation) this.#simulation.sent++;
  }

  /** Discards the simulation: the gate or the windows have changed. */
  invalidate(): void {
    this.#simulation = undefined;
  }
}
