import { type Clock, sleep } from '../clock.ts';

/** The first claims go out at once, further ones at this interval, in milliseconds. */
const PROMPT_CLAIMS = 3;
const CLAIM_INTERVAL_MS = 250;
/**
 * While messages may be missed, the first look at the lease comes after so long, in milliseconds; further ones later and
 * later.
 */
const FIRST_LOOK_MS = 100;
const LOOK_GROWTH = 1.5;
const LONGEST_LOOK_MS = 500;
/** From the end of a lease to the next look, in milliseconds: timers are too coarse to hit it exactly. */
const AFTER_END_MS = 10;

/**
 * Bounds what a read does while another replica holds its job's lease, whatever the lease and the messages about it say:
 * how often it claims, and for how long in all it believes that the holder's call is under way.
 */
export class LeaseWait {
  #claims = 0;
  #nextClaimAt = -Infinity;
  #sentMs = 0;
  #sentSince: number | undefined;

  /** @param longestSentMs how long the calls of one read can take at most, in milliseconds */
  constructor(
    private readonly longestSentMs: number,
    private readonly clock: Clock,
  ) {}

  onClaim(): void {
    this.#claims++;
    if (this.#claims >= PROMPT_CLAIMS) this.#nextClaimAt = this.clock.now() + CLAIM_INTERVAL_MS;
  }

  /** Resolves when the next claim may go out. @throws the signal's reason */
  async untilNextClaim(signal: AbortSignal): Promise<void> {
    const waitMs = this.#nextClaimAt - this.clock.now();
    if (waitMs > 0) await sleep(this.clock, waitMs, signal);
  }

  /**
   * Longest wait for a message until the lease is looked at again, in milliseconds.
   * @param endsInMs how long the lease lasts unless it is renewed
   * @param isComplete false: a message may be missed
   */
  nextLookMs(endsInMs: number, isComplete: boolean): number {
    const endMs = Math.min(endsInMs + AFTER_END_MS, this.#credibleMs());
    if (isComplete) return endMs;
    return Math.min(endMs, LONGEST_LOOK_MS, FIRST_LOOK_MS * LOOK_GROWTH ** (this.#claims - 1));
  }

  /** The holder's call is under way. */
  onSent(): void {
    this.#sentSince ??= this.clock.now();
  }

  /** It is not, or that is unknown. */
  onNotSent(): void {
    if (this.#sentSince !== undefined) this.#sentMs += this.clock.now() - this.#sentSince;
    this.#sentSince = undefined;
  }

  /** No call takes so long: the lease is not credible. */
  get isOverdue(): boolean {
    return this.#credibleMs() <= 0;
  }

  #credibleMs(): number {
    const now = this.clock.now();
    return this.longestSentMs - this.#sentMs - (now - (this.#sentSince ?? now));
  }
}
