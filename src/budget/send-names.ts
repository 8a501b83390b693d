/** Most places that are kept for reuse; older ones count as used. */
const MAX_FREE = 256;

/**
 * Names for the sends of one replica. The number in a name is a place in the replica's blocks (send-blocks.ts). A block
 * counts in full, so the places of sends that were not made are reused: `8` as `8.1`. No name is used twice, because a
 * request that reports the first one as unused may reach the store late.
 */
export class SendNames {
  #next = 0;
  #uses = 0;
  #free: readonly number[] = [];

  /** @param isCounted whether the blocks that contain a place count already: one more send in them costs nothing */
  reserve(count: number, isCounted: (place: number) => boolean): string[] {
    const reused = this.#free.filter((place) => isCounted(place)).slice(0, count);
    this.#free = this.#free.filter((place) => !reused.includes(place));
    const fresh = Array.from({ length: count - reused.length }, () => `${this.#next++}`);
    return [...reused.map((place) => `${place}.${++this.#uses}`), ...fresh];
  }

  /** Returns reserved names that were not granted. A fallback may have used later places meanwhile. */
  unreserve(sends: readonly string[]): void {
    for (const send of sends.toReversed()) {
      if (send === `${this.#next - 1}`) this.#next--;
      else this.free([send]);
    }
  }

  /** Keeps the places of sends that were not made, for reuse. */
  free(sends: readonly string[]): void {
    this.#free = [...this.#free, ...sends.map((send) => Number.parseInt(send, 10))].slice(-MAX_FREE);
  }
}
