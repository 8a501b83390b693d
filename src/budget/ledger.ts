import { BLOCK_SIZES, blockOf, blockSizeIndex, convertBlock } from './send-blocks.ts';
import type { Limit } from './window.ts';

/** A block of sends: the index of its size, its id, and how long ago its latest send was made, in milliseconds. */
export type KnownBlock = readonly [size: number, id: string, agoMs: number];

/** A store that has a block as of so much earlier, in milliseconds, does not have its latest send. */
const LATER_MS = 100;

/** A limit, and for how long a send counts against it. */
export type CountedLimit = Pick<Limit, 'limit'> & { readonly spanMs: number };

/**
 * What a replica remembers of the deployment's sends, its own and those of others that it has heard of, for as long and as exactly as
 * its limits need. From here a store that has lost its state is told what it held, and a budget of the replica's own starts. Times
 * in milliseconds on the clock of `performance.now()`.
 */
export class Ledger {
  /** For each block size that is in use, the time of each block. */
  readonly #blocks = new Map<number, Map<string, number>>();
  readonly #spans = new Map<number, number>();

  constructor(limits: readonly CountedLimit[]) {
    for (const { limit, spanMs } of limits) {
      const size = blockSizeIndex(limit);
      this.#blocks.set(size, new Map());
      this.#spans.set(size, Math.max(spanMs, this.#spans.get(size) ?? 0));
    }
  }

  /** Whether a send was ever noted: a replica without one may be the first of a new deployment. */
  get empty(): boolean {
    return [...this.#blocks.values()].every((blocks) => blocks.size === 0);
  }

  /** A send of this replica. */
  recordSend(replica: string, send: string, at: number): void {
    for (const size of this.#blocks.keys()) this.record(size, blockOf(replica, send, size), at);
  }

  /** Takes back a send that was noted and did not go. Blocks count as a whole. */
  removeSend(replica: string, send: string): void {
    this.#blocks.get(0)?.delete(blockOf(replica, send, 0));
  }

  record(size: number, id: string, at: number): void {
    const blocks = this.#blocks.get(size);
    if (!blocks) return;
    const known = blocks.get(id) ?? -Infinity;
    // In the order of their times, or nearly.
    if (known > -Infinity) blocks.delete(id);
    blocks.set(id, Math.max(known, at));
  }

  /** Notes blocks of a store in the sizes that are needed here and that it does not keep. */
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

  /** Times of the sends that count now against a limit, oldest first, each send of a block by itself. */
  times(limit: CountedLimit, now: number): number[] {
    const { times, blockSize } = this.blocks(limit, now);
    return blockSize === 1 ? times : times.flatMap((at) => Array<number>(blockSize).fill(at));
  }

  /** Times of the blocks of sends that count now against a limit, oldest first. */
  blocks({ limit, spanMs }: CountedLimit, now: number): { times: number[]; blockSize: number } {
    const size = blockSizeIndex(limit);
    this.#prune(now);
    const times = [...(this.#blocks.get(size)?.values() ?? [])].filter((at) => at > now - spanMs);
    times.sort((a, b) => a - b);
    return { times, blockSize: BLOCK_SIZES[size] ?? 1 };
  }

  /**
   * As of when the block of this size counts that holds this send of the replica.
   * @returns undefined if it does not count at that time
   */
  countedAt(replica: string, send: string, size: number, time: number): number | undefined {
    const at = this.#blocks.get(size)?.get(blockOf(replica, send, size));
    return at !== undefined && at > time - (this.#spans.get(size) ?? 0) ? at : undefined;
  }

  /** Whether there are blocks of several sends, and all that hold this send of the replica count at a time. */
  countsBlocks(replica: string, send: string, time: number): boolean {
    const sizes = [...this.#blocks.keys()].filter((size) => size > 0);
    return sizes.length > 0 && sizes.every((size) => this.countedAt(replica, send, size, time) !== undefined);
  }

  /**
   * Those that count now and that a store does not have.
   * @param held when the latest send of each block there was made, by `size id`
   */
  missingIn(held: ReadonlyMap<string, number>, now: number): KnownBlock[] {
    this.#prune(now);
    const missing: KnownBlock[] = [];
    for (const [size, blocks] of this.#blocks) {
      const since = now - (this.#spans.get(size) ?? 0);
      for (const [id, at] of blocks) {
        const isHeld = at - (held.get(`${size} ${id}`) ?? -Infinity) <= LATER_MS;
        if (at > since && !isHeld) missing.push([size, id, now - at]);
      }
    }
    return missing;
  }

  /** Up to the first that still counts: one that was noted late stands behind newer ones. */
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
 * One replica's part of sends that all replicas know of: when each lets its own go beside that part, they stay within the
 * limit together. @param times oldest first
 */
export function partOf(times: readonly number[], replicas: number): number[] {
  return times.filter((_, index) => index % replicas === replicas - 1 || index === times.length - 1);
}
