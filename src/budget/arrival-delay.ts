/** Weights of a call that was quicker than usual, and of one that was slower: the usual time is that of the quicker calls. */
const QUICKER_WEIGHT = 1 / 8;
const SLOWER_WEIGHT = 1 / 64;
/** A longer delay tells of a slow upstream rather than of a late arrival. In milliseconds. */
const LONGEST_DELAY_MS = 100;

/**
 * By how much later than usual calls may have arrived upstream, which counts them then: each arrived between when it was written and
 * when its answer came. In milliseconds.
 */
export class ArrivalDelay {
  #usualMs: number | undefined;

  /** @param tookMs from when the call was written to its answer */
  observe(tookMs: number): number {
    const usualMs = this.#usualMs ?? tookMs;
    const weight = tookMs < usualMs ? QUICKER_WEIGHT : SLOWER_WEIGHT;
    this.#usualMs = usualMs + (tookMs - usualMs) * weight;
    return Math.min(Math.max(0, tookMs - usualMs), LONGEST_DELAY_MS);
  }
}
