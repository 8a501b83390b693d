import type { Ledger } from './ledger.ts';
import { blockSizeIndex } from './send-blocks.ts';
import { SendNames } from './send-names.ts';

/** Most sends of which it is known that they were granted; older ones have gone. */
const MOST_GRANTED = 1000;
/** Most sends that are told to be unused in one request; older ones count. */
const MOST_UNUSED = 256;
/** A send that leaves its window within so many milliseconds may have been dropped by the store already. */
const LEAVING_MS = 200;

/** The sends of this replica, by their names. */
export class OwnSends {
  readonly #names = new SendNames();
  /** Those that were granted and not given back, newest last; whether they have gone. */
  readonly #granted = new Map<string, boolean>();
  #unused: readonly string[] = [];

  /** @param limit the limit that a send counts against for the shortest time */
  constructor(
    private readonly ledger: Ledger,
    private readonly replica: string,
    private readonly limit: number,
  ) {}

  /** Names for so many sends that are asked for. */
  reserve(count: number, now: number): string[] {
    const isCounted = (place: number): boolean => this.ledger.countsBlocks(this.replica, `${place}`, now);
    return this.#names.reserve(count, isCounted);
  }

  /** Of the names that were reserved these were not granted. */
  release(sends: readonly string[]): void {
    this.#names.release(sends);
  }

  /**
   * A send of this replica that was let go elsewhere. No place is used again for it: a store that is away has that block
   * as it was before.
   */
  noteElsewhere(at: number): void {
    for (const send of this.#names.reserve(1, () => false)) {
      this.granted(send, at);
      this.sent(send);
    }
  }

  /** A send is granted for this time. */
  granted(send: string, at: number): void {
    const [oldest] = this.#granted.keys();
    if (oldest !== undefined && this.#granted.size >= MOST_GRANTED) this.#granted.delete(oldest);
    this.#granted.set(send, false);
    this.record(send, at);
  }

  /** It is counted anew as of this time. */
  record(send: string, at: number): void {
    this.ledger.recordSend(this.replica, send, at);
  }

  /**
   * Whether an entry of the store says nothing new. A reply that was under way when a send was given back still has it.
   * A block may hold sends that were granted in a lost answer, and counts as a whole.
   */
  isKnown(size: number, id: string): boolean {
    return size === 0 && id.startsWith(`${this.replica}:`);
  }

  sent(send: string): void {
    if (this.#granted.has(send)) this.#granted.set(send, true);
  }

  /** It was granted and does not go: the store is told with the next request. */
  giveBack(send: string): void {
    if (this.#granted.get(send) !== false) return;
    this.#granted.delete(send);
    this.ledger.removeSend(this.replica, send);
    this.lost([send]);
  }

  /** They may have been granted, in an answer that did not come. */
  lost(sends: readonly string[]): void {
    this.#unused = [...this.#unused, ...sends].slice(-MOST_UNUSED);
    this.#names.free(sends);
  }

  /** The store knows of them. */
  told(unused: readonly string[]): void {
    if (unused.length > 0) this.#unused = this.#unused.filter((send) => !unused.includes(send));
  }

  get unused(): readonly string[] {
    return this.#unused;
  }

  /** The newest that was granted and not given back. */
  get newest(): string | undefined {
    return [...this.#granted.keys()].at(-1);
  }

  /**
   * That one, and how long ago it was, while the store is to have it: a failover may have lost it, whether it has gone
   * or not.
   */
  newestKept(now: number): readonly [send: string, agoMs: number] | undefined {
    const { newest } = this;
    if (newest === undefined) return undefined;
    const size = blockSizeIndex(this.limit);
    const at = this.ledger.countedAt(this.replica, newest, size, now + LEAVING_MS);
    return at === undefined ? undefined : [newest, now - at];
  }
}
