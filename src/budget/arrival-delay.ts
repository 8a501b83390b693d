/** Weights of a call that was faster than usual and of a slower one: the usual time is that of the faster calls. */
const FASTER_WEIGHT = 1 / 8;
const SLOWER_WEIGHT = 1 / 64;
/** A response later than this means a slow upstream, not a late arrival. In milliseconds. */
const MAX_DELAY_MS = 100;

/**
 * Estimates how much later than usual a call arrived upstream, which counts calls on arrival. A call arrives between
 * being written and being answered; the time over the weighted usual one is taken as its delay. In milliseconds.
 */
export class ArrivalDelay {
  #usualMs: number | undefined;

  /** @param tookMs from writing the call to its response headers */
  observe(tookMs: number): number {
    const usualMs = this.#usualMs ?? tookMs;
    const weight = tookMs < usualMs ? FASTER_WEIGHT : SLOWER_WEIGHT;
    this.#usualMs = usualMs + (tookMs - usualMs) * weight;
    return Math.min(Math.max(0, tookMs - usualMs), MAX_DELAY_MS);
  }
}
