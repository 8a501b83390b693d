import { type Clock, sleep } from '../clock.ts';

/** So many claims go out as soon as there is reason to; further ones have this distance, in milliseconds. */
const PROMPT_CLAIMS = 3;
const CLAIM_DISTANCE_MS = 250;
/** While notices may be missed the lease is looked at again after so long, in milliseconds, then ever later. */
const FIRST_LOOK_MS = 100;
const LOOK_GROWTH = 1.5;
const LONGEST_LOOK_MS = 500;
/** A lease is looked at again so long after its end, in milliseconds: by the timers' grain a claim could come just before. */
const AFTER_END_MS = 10;

/**
 * Bounds what a read does while another replica has its job's lease, whatever that lease and the notices about it say: how often it claims, and
 * for how long, all told, it believes that the other's call is out.
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

  /** A claim goes out. */
  claims(): void {
    this.#claims++;
    if (this.#claims >= PROMPT_CLAIMS) this.#nextClaimAt = this.clock.now() + CLAIM_DISTANCE_MS;
  }

  /** Resolves when the next claim may go out. @throws the signal's reason */
  async untilNextClaim(signal: AbortSignal): Promise<void> {
    const waitMs = this.#nextClaimAt - this.clock.now();
    if (waitMs > 0) await sleep(this.clock, waitMs, signal);
  }

  /**
   * How long to wait for a notice before the lease is looked at again, in milliseconds.
   * @param endsInMs how long the lease lasts unless it is prolonged
   * @param isComplete false: a notice may be missed
   */
  lookAgainMs(endsInMs: number, isComplete: boolean): number {
    const endMs = Math.min(endsInMs + AFTER_END_MS, this.#believedMs());
    if (isComplete) return endMs;
    return Math.min(endMs, LONGEST_LOOK_MS, FIRST_LOOK_MS * LOOK_GROWTH ** (this.#claims - 1));
  }

  /** The other's call is out. */
  sent(): void {
    this.#sentSince ??= this.clock.now();
  }

  /** It is not, or nobody knows. */
  notSent(): void {
    if (this.#sentSince !== undefined) this.#sentMs += this.clock.now() - this.#sentSince;
    this.#sentSince = undefined;
  }

  /** No call takes so long: the lease is not believed any more. */
  get isOverdue(): boolean {
    return this.#believedMs() <= 0;
  }

  #believedMs(): number {
    const now = this.clock.now();
    return this.longestSentMs - this.#sentMs - (now - (this.#sentSince ?? now));
  }
}
