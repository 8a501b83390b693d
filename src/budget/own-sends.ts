import type { Ledger } from './ledger.ts';
import { blockSizeIndex } from './send-blocks.ts';

/** Most unused sends that one request reports; older ones stay counted. */
const MAX_UNUSED = 256;
/** The store may already have dropped a send that leaves its window within this time. In milliseconds. */
const LEAVING_MS = 200;

/** Numbers this replica's sends. */
export class OwnSends {
  #next = 0;
  #newest: number | undefined;
  #unused: readonly number[] = [];

  /** @param limit the limit with the shortest window */
  constructor(
    private readonly ledger: Ledger,
    private readonly replica: string,
    private readonly limit: number,
  ) {}

  /** Reserves numbers for the sends of one request. @returns the first */
  reserve(count: number): number {
    const first = this.#next;
    this.#next += count;
    return first;
  }

  /** Returns reserved numbers that were not granted, unless a fallback has used later ones meanwhile. */
  unreserve(first: number, count: number, granted: number): void {
    if (this.#next === first + count) this.#next = first + granted;
  }

  /** Counts a granted send at this time, or moves it there. */
  record(send: number, at: number): void {
    this.ledger.recordSend(this.replica, send, at);
  }

  sent(send: number): void {
    this.#newest = Math.max(send, this.#newest ?? 0);
  }

  /** Marks sends that were (or may have been) granted and were not made. The next request reports them to the store. */
  markUnused(first: number, count = 1): void {
    const sends = Array.from({ length: count }, (_, index) => first + index);
    for (const send of sends) this.ledger.removeSend(this.replica, send);
    this.#unused = [...this.#unused, ...sends].slice(-MAX_UNUSED);
  }

  /** The store has removed these unused sends. */
  onUnusedReported(unused: readonly number[]): void {
    if (unused.length > 0) this.#unused = this.#unused.filter((send) => !unused.includes(send));
  }

  get unused(): readonly number[] {
    return this.#unused;
  }

  /** The newest send that was made. */
  get newest(): number | undefined {
    return this.#newest;
  }

  /** The newest send, if the store must still have it. */
  newestCounted(now: number): number | undefined {
    if (this.#newest === undefined) return undefined;
    const size = blockSizeIndex(this.limit);
    return this.ledger.counts(this.replica, this.#newest, size, now + LEAVING_MS) ? this.#newest : undefined;
  }
}
