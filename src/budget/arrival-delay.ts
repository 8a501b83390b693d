/** Growth of the baseline with each call, so that after a hundred calls a slower upstream is the new normal. */
const BASELINE_GROWTH = 1.01;
/** A response later than this means a slow upstream, not a late arrival. In milliseconds. */
const MAX_DELAY_MS = 100;

/**
 * Estimates how late a call arrived upstream, which counts calls on arrival. A call arrives between being written and
 * being answered; the time over the fastest recent calls is taken as its delay. In milliseconds.
 */
export class ArrivalDelay {
  #baselineMs = Infinity;

  /** @param tookMs from writing the call to its response headers */
  observe(tookMs: number): number {
    this.#baselineMs = Math.min(this.#baselineMs * BASELINE_GROWTH, tookMs);
    return Math.min(tookMs - this.#baselineMs, MAX_DELAY_MS);
  }
}
