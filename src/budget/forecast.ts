import { LEAST_STEP_MS, type SpreadWindow } from './window.ts';

/** How old a forecast may be, in milliseconds, before it is made anew. */
const GOOD_FOR_MS = 250;
/**
 * So many steps of the arithmetic a forecast takes at most; later sends are estimated from where they end. Its cost is the
 * same however long the gate is closed and however many wait.
 */
const MOST_STEPS = 2000;

/** When the coming sends may go if each goes as soon as it may: the arithmetic itself, run ahead on copies. */
class Run {
  readonly #times: number[] = [];
  readonly #windows: readonly SpreadWindow[];
  #now: number;
  #steps = 0;
  /** Sends that have gone since it was made. */
  sent = 0;

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
    while (this.#times.length < nth && this.#steps < MOST_STEPS) this.#step();
    return this.#times[nth - 1] ?? this.#estimate(nth - this.#times.length);
  }

  /** One send, or one step towards it. */
  #step(): void {
    this.#steps++;
    const waitMs = Math.max(...this.#windows.map((window) => window.wait(this.#now)));
    if (waitMs > 0) {
      this.#now += Math.max(waitMs, LEAST_STEP_MS);
      return;
    }
    for (const window of this.#windows) window.take(this.#now);
    this.#times.push(this.#now);
  }

  #estimate(sends: number): number {
    return this.#now + Math.max(...this.#windows.map((window) => window.estimateMs(sends, this.#now)));
  }
}

/** Forecasts of one budget. They are asked for at every read, so one is used for a while. */
export class Forecast {
  #run: Run | undefined;

  /** @param begin the windows as they are now, and when the gate opens */
  constructor(private readonly begin: () => { windows: readonly SpreadWindow[]; opensAt: number }) {}

  /** In how many milliseconds from `now` the nth send is to be expected. */
  forecastMs(nth: number, now: number): number {
    if (!this.#run || now - this.#run.from > GOOD_FOR_MS) {
      const { windows, opensAt } = this.begin();
      this.#run = new Run(windows, now, opensAt);
    }
    return Math.max(0, this.#run.timeOf(this.#run.sent + nth) - now);
  }

  sent(): void {
    if (this.#run) this.#run.sent++;
  }

  /** What was forecast does not hold any more. */
  forget(): void {
    this.#run = undefined;
  }
}
