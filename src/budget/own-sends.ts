import type { Ledger } from './ledger.ts';
import { blockSizeIndex } from './send-blocks.ts';
import { SendNames } from './send-names.ts';

/** Most granted sends that are remembered; older ones have been made. */
const MAX_GRANTED = 1000;
/** Most unused sends that one request reports; older ones stay counted. */
const MAX_UNUSED = 256;
/** The store may already have dropped a send that leaves its window within this time. In milliseconds. */
const LEAVING_MS = 200;

/** Names this replica's sends and keeps track of them. */
export class OwnSends {
  readonly #names = new SendNames();
  /** Sends that were granted and not marked as unused, newest last, and whether they were made. */
  readonly #granted = new Map<string, boolean>();
  #unused: readonly string[] = [];

  /** @param limit the limit with the shortest window */
  constructor(
    private readonly ledger: Ledger,
    private readonly replica: string,
    private readonly limit: number,
  ) {}

  /** Reserves names for the sends of one request. */
  reserve(count: number, now: number): string[] {
    const isCounted = (place: number): boolean => this.ledger.countsBlocks(this.replica, `${place}`, now);
    return this.#names.reserve(count, isCounted);
  }

  /** Returns reserved names that were not granted. */
  unreserve(sends: readonly string[]): void {
    this.#names.unreserve(sends);
  }

  /**
   * Records a send that the local budget granted. It never reuses a place: a store that is unavailable has the block of
   * that place as it was before.
   */
  recordLocal(at: number): void {
    for (const send of this.#names.reserve(1, () => false)) {
      this.recordGranted(send, at);
      this.sent(send);
    }
  }

  /** Records a send that is granted for this time. */
  recordGranted(send: string, at: number): void {
    const [oldest] = this.#granted.keys();
    if (oldest !== undefined && this.#granted.size >= MAX_GRANTED) this.#granted.delete(oldest);
    this.#granted.set(send, false);
    this.record(send, at);
  }

  /** Counts a granted send at this time, or moves it there. */
  record(send: string, at: number): void {
    this.ledger.recordSend(this.replica, send, at);
  }

  /**
   * Whether an entry of the store is known already. A reply that was under way when a send was marked as unused still
   * contains it. A larger block may contain sends of a lost reply, and counts in full.
   */
  isKnown(size: number, id: string): boolean {
    return size === 0 && id.startsWith(`${this.replica}:`);
  }

  /** The send was made. */
  sent(send: string): void {
    if (this.#granted.has(send)) this.#granted.set(send, true);
  }

  /** Marks a send that was granted and not made. The next request reports it to the store. */
  markUnused(send: string): void {
    if (this.#granted.get(send) !== false) return;
    this.#granted.delete(send);
    this.ledger.removeSend(this.replica, send);
    this.markLost([send]);
  }

  /** Marks sends that may have been granted, in a reply that was lost. The next request reports them to the store. */
  markLost(sends: readonly string[]): void {
    this.#unused = [...this.#unused, ...sends].slice(-MAX_UNUSED);
    this.#names.free(sends);
  }

  /** The store has removed these unused sends. */
  onUnusedReported(unused: readonly string[]): void {
    if (unused.length > 0) this.#unused = this.#unused.filter((send) => !unused.includes(send));
  }

  get unused(): readonly string[] {
    return this.#unused;
  }

  /** The newest send that was granted and not marked as unused. */
  get newest(): string | undefined {
    return [...this.#granted.keys()].at(-1);
  }

  /**
   * The newest send and its age, if the store must still have it: a failover may have lost it, whether it was made or
   * not.
   */
  newestCounted(now: number): readonly [send: string, agoMs: number] | undefined {
    const { newest } = this;
    if (newest === undefined) return undefined;
    const size = blockSizeIndex(this.limit);
    const at = this.ledger.countedAt(this.replica, newest, size, now + LEAVING_MS);
    return at === undefined ? undefined : [newest, now - at];
  }
}
