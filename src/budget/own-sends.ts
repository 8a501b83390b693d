import type { Ledger } from './ledger.ts';
import { blockSizeIndex } from './send-blocks.ts';

/** Most sends of which it is known that they were granted; older ones have gone. */
const MOST_GRANTED = 1000;
/** Most sends that are told to be unused in one request; older ones count. */
const MOST_UNUSED = 256;
/** A send that leaves its window within so many milliseconds may have been dropped by the store already. */
const LEAVING_MS = 200;

/** The sends of this replica, by their numbers. */
export class OwnSends {
  #next = 0;
  /** Those that were granted and not given back, newest last; whether they have gone. */
  readonly #granted = new Map<number, boolean>();
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

  /** A send is granted for this time. */
  granted(send: number, at: number): void {
    const [oldest] = this.#granted.keys();
    if (oldest !== undefined && this.#granted.size >= MOST_GRANTED) this.#granted.delete(oldest);
    this.#granted.set(send, false);
    this.note(send, at);
  }

  /** It is counted anew as of this time. */
  note(send: number, at: number): void {
    this.ledger.noteSend(this.replica, send, at);
  }

  /**
   * Whether an entry of the store says nothing new. A reply that was under way when a send was given back still has it; a
   * block may hold sends that were granted in a lost answer, and counts as a whole.
   */
  isKnown(size: number, id: string): boolean {
    return size === 0 && id.startsWith(`${this.replica}:`);
  }

  sent(send: number): void {
    if (this.#granted.has(send)) this.#granted.set(send, true);
  }

  /** It was granted and does not go: the store is told with the next request. */
  giveBack(send: number): void {
    if (this.#granted.get(send) !== false) return;
    this.#granted.delete(send);
    this.ledger.removeSend(this.replica, send);
    this.#forgo([send]);
  }

  /** They may have been granted, in an answer that did not come. */
  lost(first: number, count: number): void {
    this.#forgo(Array.from({ length: count }, (_, index) => first + index));
  }

  #forgo(sends: readonly number[]): void {
    this.#unused = [...this.#unused, ...sends].slice(-MOST_UNUSED);
  }

  /** The store knows of them. */
  told(unused: readonly number[]): void {
    if (unused.length > 0) this.#unused = this.#unused.filter((send) => !unused.includes(send));
  }

  get unused(): readonly number[] {
    return this.#unused;
  }

  /** The newest that was granted and not given back. */
  get newest(): number | undefined {
    return [...this.#granted.keys()].at(-1);
  }

  /** That one, and how long ago it was, while the store is to have it: a failover may have lost it, whether it has gone or not. */
  newestKept(now: number): readonly [send: number, agoMs: number] | undefined {
    const { newest } = this;
    if (newest === undefined) return undefined;
    const size = blockSizeIndex(this.limit);
    const at = this.ledger.countedAt(this.replica, newest, size, now + LEAVING_MS);
    return at === undefined ? undefined : [newest, now - at];
  }
}
