import { BLOCK_SIZES, blockOf, blockSizeIndex, convertBlock } from './send-blocks.ts';
import type { Limit } from './window.ts';

/** A block of sends: index of its size, id, and age of its latest send in milliseconds. */
export type KnownBlock = readonly [size: number, id: string, agoMs: number];

/** The store lacks the latest send of a block that is earlier there by more than this. In milliseconds. */
const MAX_AGE_DIFFERENCE_MS = 100;

/** A limit, and how long a send counts against it. */
export type CountedLimit = Pick<Limit, 'limit'> & { readonly spanMs: number };

/**
 * One replica's record of the sends of all replicas, kept as long and as exactly as its limits need. It restores a
 * store that has lost its state, and initializes the local budget of a fallback. Times in milliseconds on the clock of
 * `performance.now()`.
 */
export class Ledger {
  /** Size index → block id → time of its latest send, roughly in the order of times. */
  readonly #blocks = new Map<number, Map<string, number>>();
  readonly #spans = new Map<number, number>();

  constructor(limits: readonly CountedLimit[]) {
    for (const { limit, spanMs } of limits) {
      const size = blockSizeIndex(limit);
      this.#blocks.set(size, new Map());
      this.#spans.set(size, Math.max(spanMs, this.#spans.get(size) ?? 0));
    }
  }

  /** Whether no send was ever recorded: this may be the first replica of a new deployment. */
  get isEmpty(): boolean {
    return [...this.#blocks.values()].every((blocks) => blocks.size === 0);
  }

  /** Records a send of one replica in all block sizes in use. */
  recordSend(replica: string, send: string, at: number): void {
    for (const size of this.#blocks.keys()) this.record(size, blockOf(replica, send, size), at);
  }

  /** Removes a send that was recorded and not made. Larger blocks stay as they are. */
  removeSend(replica: string, send: string): void {
    this.#blocks.get(0)?.delete(blockOf(replica, send, 0));
  }

  record(size: number, id: string, at: number): void {
    const blocks = this.#blocks.get(size);
    if (!blocks) return;
    const known = blocks.get(id) ?? -Infinity;
    // Reinserted to keep the map in order: #prune stops at the first block that still counts.
    if (known > -Infinity) blocks.delete(id);
    blocks.set(id, Math.max(known, at));
  }

  /** Records the store's blocks in the sizes that are in use here but missing in the store. */
  recordConverted(
    listed: readonly (readonly [size: number, id: string, at: number])[],
    held: ReadonlySet<number>,
  ): void {
    for (const to of this.#blocks.keys()) {
      if (held.has(to)) continue;
      for (const [from, id, at] of listed) {
        for (const converted of convertBlock(id, from, to)) this.record(to, converted, at);
      }
    }
  }

  /** Times of the sends that count against a limit now, oldest first; each send of a block separately. */
  times(limit: CountedLimit, now: number): number[] {
    const { times, blockSize } = this.blocks(limit, now);
    return blockSize === 1 ? times : times.flatMap((at) => Array<number>(blockSize).fill(at));
  }

  /** Times of the blocks that count against a limit now, oldest first. */
  blocks({ limit, spanMs }: CountedLimit, now: number): { times: number[]; blockSize: number } {
    const size = blockSizeIndex(limit);
    this.#prune(now);
    const times = [...(this.#blocks.get(size)?.values() ?? [])].filter((at) => at > now - spanMs);
    times.sort((a, b) => a - b);
    return { times, blockSize: BLOCK_SIZES[size] ?? 1 };
  }

  /**
   * The time at which the block of this size that contains a send counts.
   * @returns undefined when it no longer counts at `time`
   */
  countedAt(replica: string, send: string, size: number, time: number): number | undefined {
    const at = this.#blocks.get(size)?.get(blockOf(replica, send, size));
    return at !== undefined && at > time - (this.#spans.get(size) ?? 0) ? at : undefined;
  }

  /** Whether larger blocks are in use, and all that contain this send count at `time`. */
  countsBlocks(replica: string, send: string, time: number): boolean {
    const sizes = [...this.#blocks.keys()].filter((size) => size > 0);
    return sizes.length > 0 && sizes.every((size) => this.countedAt(replica, send, size, time) !== undefined);
  }

  /**
   * Blocks that count now and are missing in the store, or lack their latest send there.
   * @param held time of the latest send of each block in the store, by `size id`
   */
  missingIn(held: ReadonlyMap<string, number>, now: number): KnownBlock[] {
    this.#prune(now);
    const missing: KnownBlock[] = [];
    for (const [size, blocks] of this.#blocks) {
      const since = now - (this.#spans.get(size) ?? 0);
      for (const [id, at] of blocks) {
        const isHeld = at - (held.get(`${size} ${id}`) ?? -Infinity) <= MAX_AGE_DIFFERENCE_MS;
        if (at > since && !isHeld) missing.push([size, id, now - at]);
      }
    }
    return missing;
  }

  /** Stops at the first block that still counts: a block that was recorded late is behind newer ones. */
  #prune(now: number): void {
    for (const [size, blocks] of this.#blocks) {
      const since = now - (this.#spans.get(size) ?? 0);
      for (const [id, at] of blocks) {
        if (at > since) break;
        blocks.delete(id);
      }
    }
  }
}

/**
 * One replica's part of the sends of all replicas. If each replica counts this part plus its own new sends, they stay
 * within the limit together. @param times oldest first
 */
export function replicaPart(times: readonly number[], replicas: number): number[] {
  return times.filter((_, index) => index % replicas === replicas - 1 || index === times.length - 1);
}
