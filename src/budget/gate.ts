/** The first wait after a refusal that does not say how long, its longest, and the longest that upstream may ask for. */
const FIRST_BACKOFF_MS = 1000;
const LONGEST_BACKOFF_MS = 60_000;
const LONGEST_CLOSING_MS = 31 * 24 * 3_600_000;

/** Nothing is sent while it is closed. Times in milliseconds on the caller's clock. */
export class Gate {
  #closedUntil = -Infinity;
  #unexplained = 0;

  constructor(private readonly random: () => number = Math.random) {}

  get closedUntil(): number {
    return this.#closedUntil;
  }

  closedMs(now: number): number {
    return Math.max(0, this.#closedUntil - now);
  }

  /** Never shortens a closing. */
  close(now: number, forMs: number): void {
    if (forMs <= 0) return;
    this.#closedUntil = Math.max(this.#closedUntil, now + Math.min(forMs, LONGEST_CLOSING_MS));
  }

  /** For a refusal that does not say how long: twice as long each time, with jitter, until a minute has gone well. */
  backoffMs(now: number): number {
    if (now - this.#closedUntil > LONGEST_BACKOFF_MS) this.#unexplained = 0;
    const most = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#unexplained++);
    return most * (0.5 + this.random() / 2);
  }
}
