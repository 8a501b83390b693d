import { RoundTrip } from '../round-trip.ts';

/** A permit may arrive so long after its moment, in milliseconds: a near store grants for now. */
const LATE_ARRIVAL_MS = 10;
/** By how much two clocks may drift apart, as a part of the time that passes. */
const DRIFT = 1e-3;

/**
 * The clock of the store, as each answer bounds it: what it read lies between when it was asked and when its answer came. The bounds
 * of many answers together leave little, however much the latency varies. Times in milliseconds.
 */
export class StoreClock {
  /** Bounds of what the store's clock is ahead of ours. */
  #lowest = -Infinity;
  #highest = Infinity;
  #at = 0;
  readonly #roundTrip = new RoundTrip();

  /** @param read what the store's clock said between `askedAt` and `answeredAt` on ours */
  observe(read: number, askedAt: number, answeredAt: number): void {
    this.#roundTrip.observe(answeredAt - askedAt);
    const drift = (answeredAt - this.#at) * DRIFT;
    this.#at = answeredAt;
    const [lowest, highest] = [read - answeredAt, read - askedAt];
    this.#lowest = Math.max(this.#lowest - drift, lowest);
    this.#highest = Math.min(this.#highest + drift, highest);
    if (this.#lowest <= this.#highest) return;
    // One of the clocks was set, or it is another server.
    this.#lowest = lowest;
    this.#highest = highest;
  }

  /** How long after it was given an answer is there. */
  get leadMs(): number {
    const { meanMs, deviationMs } = this.#roundTrip;
    return Math.max(0, meanMs / 2 + 2 * deviationMs - LATE_ARRIVAL_MS);
  }

  /** A time of the store on our clock; none before the first answer. */
  toLocal(time: number): number {
    return time - (this.#lowest + this.#highest) / 2;
  }
}
