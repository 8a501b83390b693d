import type { Ledger } from './ledger.ts';
import { blockSizeIndex } from './send-blocks.ts';

/** Most sends that are told to be unused in one request; older ones count. */
const MOST_UNUSED = 256;
/** A send that leaves its window within so many milliseconds may have been dropped by the store already. */
const LEAVING_MS = 200;

/** The sends of this replica, by their numbers. */
export class OwnSends {
  #next = 0;
  #newest: number | undefined;
  #unused: readonly number[] = [];

  /** @param limit the limit that a send counts against for the shortest time */
  constructor(
    private readonly ledger: Ledger,
    private readonly replica: string,
    private readonly limit: number,
  ) {}

  /** Numbers for so many sends that are asked for. @returns the first */
  reserve(count: number): number {
    const first = this.#next;
    this.#next += count;
    return first;
  }

  /** Of the numbers that were reserved only so many were granted. In fallback other sends may have taken numbers since. */
  release(first: number, count: number, granted: number): void {
    if (this.#next === first + count) this.#next = first + granted;
  }

  /** A send is granted for this time, or counted anew as of it. */
  record(send: number, at: number): void {
    this.ledger.recordSend(this.replica, send, at);
  }

  sent(send: number): void {
    this.#newest = Math.max(send, this.#newest ?? 0);
  }

  /** They were granted, or may have been, and did not go: the store is told with the next request. */
  giveBack(first: number, count = 1): void {
    const sends = Array.from({ length: count }, (_, index) => first + index);
    for (const send of sends) this.ledger.removeSend(this.replica, send);
    this.#unused = [...this.#unused, ...sends].slice(-MOST_UNUSED);
  }

  /** The store knows of them. */
  reportedUnused(unused: readonly number[]): void {
    if (unused.length > 0) this.#unused = this.#unused.filter((send) => !unused.includes(send));
  }

  get unused(): readonly number[] {
    return this.#unused;
  }

  /** The newest that went. */
  get newest(): number | undefined {
    return this.#newest;
  }

  /** That one, while the store is to have it. */
  newestKept(now: number): number | undefined {
    if (this.#newest === undefined) return undefined;
    const size = blockSizeIndex(this.limit);
    return this.ledger.counts(this.replica, this.#newest, size, now + LEAVING_MS) ? this.#newest : undefined;
  }
}
