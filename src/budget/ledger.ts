import { BLOCK_SIZES, blockSizeIndex, convertBlock } from './send-blocks.ts';
import type { Limit } from './window.ts';

/** A block of sends: index of its size, id, and age of its latest send in milliseconds. */
export type KnownBlock = readonly [size: number, id: string, agoMs: number];

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
  recordSend(replica: string, send: number, at: number): void {
    for (const size of this.#blocks.keys()) {
      this.record(size, `${replica}:${Math.floor(send / (BLOCK_SIZES[size] ?? 1))}`, at);
    }
  }

  /** Removes a send that was recorded and not made. Larger blocks stay as they are. */
  removeSend(replica: string, send: number): void {
    this.#blocks.get(0)?.delete(`${replica}:${send}`);
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

  /** Times of the sends that count against a limit now, oldest first. */
  times({ limit, spanMs }: CountedLimit, now: number): number[] {
    const size = blockSizeIndex(limit);
    this.#prune(now);
    const times = [...(this.#blocks.get(size)?.values() ?? [])].filter((at) => at > now - spanMs);
    times.sort((a, b) => a - b);
    const sends = BLOCK_SIZES[size] ?? 1;
    return sends === 1 ? times : times.flatMap((at) => Array<number>(sends).fill(at));
  }

  /** Whether this send still counts at this time against the limits of one block size. */
  counts(replica: string, send: number, size: number, at: number): boolean {
    const id = `${replica}:${Math.floor(send / (BLOCK_SIZES[size] ?? 1))}`;
    return (this.#blocks.get(size)?.get(id) ?? -Infinity) > at - (this.#spans.get(size) ?? 0);
  }

  /** Blocks that count now and are missing in the store. @param held the blocks in the store, as `size id` */
  missingIn(held: ReadonlySet<string>, now: number): KnownBlock[] {
    this.#prune(now);
    const missing: KnownBlock[] = [];
    for (const [size, blocks] of this.#blocks) {
      for (const [id, at] of blocks) if (!held.has(`${size} ${id}`)) missing.push([size, id, now - at]);
    }
    return missing;
  }

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
