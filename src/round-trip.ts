/** Weights of the newest sample in the mean and in its deviation (RFC 6298, section 2). */
const MEAN_WEIGHT = 1 / 8;
const DEVIATION_WEIGHT = 1 / 4;
/** Least time that a timeout exceeds the mean by, and longest timeout. In milliseconds. */
const MIN_SLACK_MS = 100;
const LONGEST_TIMEOUT_MS = 1000;

/** The round-trip time of a server, smoothed as in RFC 6298. In milliseconds. */
export class RoundTrip {
  #mean: number | undefined;
  #deviation = 0;

  observe(tookMs: number): void {
    if (this.#mean === undefined) {
      this.#mean = tookMs;
      this.#deviation = tookMs / 2;
      return;
    }
    this.#deviation += (Math.abs(tookMs - this.#mean) - this.#deviation) * DEVIATION_WEIGHT;
    this.#mean += (tookMs - this.#mean) * MEAN_WEIGHT;
  }

  get meanMs(): number {
    return this.#mean ?? 0;
  }

  get deviationMs(): number {
    return this.#deviation;
  }

  /** Timeout for a reply: 100 ms for a near server, at most a second. */
  get timeoutMs(): number {
    return Math.min(LONGEST_TIMEOUT_MS, this.meanMs + Math.max(MIN_SLACK_MS, 4 * this.#deviation));
  }
}
