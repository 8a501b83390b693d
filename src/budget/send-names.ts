/** Most places that are kept to be used again; older ones count as used. */
const MOST_FREE = 256;

/**
 * Names for the sends of one replica. The number in a name is a place in the replica's blocks (send-blocks.ts). A block
 * counts as a whole, so the places of sends that did not go are used again: `8` as `8.1`. No name is used twice, because
 * a request that gives the first one back may reach the store late.
 */
export class SendNames {
  #next = 0;
  #uses = 0;
  #free: readonly number[] = [];

  /** @param isCounted whether the blocks that hold a place count already: one more send in them costs nothing */
  reserve(count: number, isCounted: (place: number) => boolean): string[] {
    const again = this.#free.filter((place) => isCounted(place)).slice(0, count);
    this.#free = this.#free.filter((place) => !again.includes(place));
    const fresh = Array.from({ length: count - again.length }, () => `${this.#next++}`);
    return [...again.map((place) => `${place}.${++this.#uses}`), ...fresh];
  }

  /** They were reserved, and the store has not granted them. In fallback other sends may have taken places since. */
  release(sends: readonly string[]): void {
    for (const send of sends.toReversed()) {
      if (send === `${this.#next - 1}`) this.#next--;
      else this.free([send]);
    }
  }

  /** They did not go. */
  free(sends: readonly string[]): void {
    this.#free = [...this.#free, ...sends.map((send) => Number.parseInt(send, 10))].slice(-MOST_FREE);
  }
}
