import { LEAST_STEP_MS, type SpreadWindow } from './window.ts';

/** When the coming sends may go if each goes as soon as it may: the arithmetic itself, run ahead on copies. */
export class Forecast {
  readonly #times: number[] = [];
  readonly #windows: readonly SpreadWindow[];
  #now: number;

  /**
   * @param from the time of the copies
   * @param opensAt when the gate opens, if it is closed: nothing goes before
   */
  constructor(
    windows: readonly SpreadWindow[],
    readonly from: number,
    opensAt: number,
  ) {
    this.#windows = windows.map((window) => window.clone());
    this.#now = Math.max(from, opensAt);
  }

  /** The time of the nth send, counted from 1. */
  timeOf(nth: number): number {
    for (let done = this.#times.length; done < nth; done++) this.#times.push(this.#sendOne());
    return this.#times[nth - 1] ?? this.#now;
  }

  #sendOne(): number {
    for (;;) {
      const waitMs = Math.max(...this.#windows.map((window) => window.wait(this.#now)));
      if (waitMs <= 0) break;
      this.#now += Math.max(waitMs, LEAST_STEP_MS);
    }
    for (const window of this.#windows) window.take(this.#now);
    return this.#now;
  }
}
