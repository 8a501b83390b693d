/** How fast the least time of a call is forgotten: an upstream that has become slower is the usual one after a hundred calls. */
const FORGET = 1.01;
/** An answer that is later tells of a slow upstream rather than of a late arrival. In milliseconds. */
const LONGEST_DELAY_MS = 100;

/**
 * By how much later than usual calls may have arrived upstream, which counts them then: each arrived between when it was written and
 * when its answer came. What the quickest calls take is the usual. In milliseconds.
 */
export class ArrivalDelay {
  #leastMs = Infinity;

  /** @param tookMs from when the call was written to its answer */
  observe(tookMs: number): number {
    this.#leastMs = Math.min(this.#leastMs * FORGET, tookMs);
    return Math.min(tookMs - this.#leastMs, LONGEST_DELAY_MS);
  }
}
