import { RoundTrip } from '../round-trip.ts';

/**
 * Lateness allowed for a permit that arrives after its send time, so that a near store can grant for now. In
 * milliseconds.
 */
const LATE_ARRIVAL_MS = 10;
/** Maximum drift between the two clocks, as a fraction of elapsed time. */
const DRIFT = 1e-3;

/**
 * Converts times of Redis' clock to the local clock. Redis read its clock between request and reply, so each reply
 * bounds the offset; the intersection of many bounds is tight even when latency varies. Times in milliseconds.
 */
export class StoreClock {
  /** Bounds of the offset: Redis' clock minus the local clock. */
  #lowest = -Infinity;
  #highest = Infinity;
  #at = 0;
  readonly #roundTrip = new RoundTrip();

  /** @param storeTime what Redis' clock read between `askedAt` and `answeredAt` on the local clock */
  observe(storeTime: number, askedAt: number, answeredAt: number): void {
    this.#roundTrip.observe(answeredAt - askedAt);
    const drift = (answeredAt - this.#at) * DRIFT;
    this.#at = answeredAt;
    const [lowest, highest] = [storeTime - answeredAt, storeTime - askedAt];
    this.#lowest = Math.max(this.#lowest - drift, lowest);
    this.#highest = Math.min(this.#highest + drift, highest);
    if (this.#lowest <= this.#highest) return;
    // A clock was set, or this is another server.
    this.#lowest = lowest;
    this.#highest = highest;
  }

  /** Time that a reply takes to arrive: grants should begin that far ahead. */
  get leadMs(): number {
    const { meanMs, deviationMs } = this.#roundTrip;
    return Math.max(0, meanMs / 2 + 2 * deviationMs - LATE_ARRIVAL_MS);
  }

  /** Redis' time → local time. Needs at least one observed reply. */
  toLocal(storeTime: number): number {
    return storeTime - (this.#lowest + this.#highest) / 2;
  }
}
