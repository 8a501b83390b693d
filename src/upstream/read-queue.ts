import { FairQueue, type FairTicket } from './fair-queue.ts';
import { Rotation } from './rotation.ts';
import { SortedQueue } from './sorted-queue.ts';

/** A read's place in the queue. */
export interface Ticket extends FairTicket {
  /** The copy that the read replaces, and when that was read; undefined for a miss. */
  readonly staleCopy: { readonly readAt: number } | undefined;
  /** A caller takes no copy: the read is that caller's, not the refresh of a copy that is served to many. */
  readonly mustRevalidate: boolean;
}

type Queue<T extends Ticket> = FairQueue<T> | SortedQueue<T>;

/** Misses that go for one other read while both wait. */
const MISSES_FOR_ANOTHER = 3;

/**
 * The reads that wait for a call, and their order:
 *
 *     3 misses         fair among callers
 *     1 other read     in turn: a refresh        the oldest copy first, so that all running jobs age evenly
 *                               a revalidation   fair among callers: a caller's loop delays no other caller
 *
 * Retries go first among their caller's reads, or before all refreshes. Adding and removing take O(log n), a
 * position O(callers), or O(n) while a read of the same kind is shared by several callers.
 */
export class ReadQueue<T extends Ticket> {
  readonly #misses = new FairQueue<T>();
  readonly #revalidations = new FairQueue<T>();
  readonly #refreshes = new SortedQueue<T>(({ isRetry, staleCopy }) =>
    isRetry ? -Infinity : (staleCopy?.readAt ?? 0),
  );
  readonly #others = new Rotation<T, Queue<T>>().add(this.#refreshes).add(this.#revalidations);
  readonly #order = new Rotation<T, FairQueue<T> | Rotation<T, Queue<T>>>()
    .add(this.#misses, MISSES_FOR_ANOTHER)
    .add(this.#others);

  /**
   * @param limit most tickets, retries aside
   * @param callerLimit most misses, and most revalidations, of one caller
   */
  constructor(
    private readonly limit: number,
    private readonly callerLimit = limit,
  ) {}

  get size(): number {
    return this.#misses.size + this.#others.size;
  }

  /**
   * Adds a ticket. When the queue is full a refresh is evicted, because its copy can be served; without one, a read of
   * the caller with most.
   * @returns the evicted ticket; this one when there is no room for it
   */
  enqueue(ticket: T): T | undefined {
    const evicted = this.#makeRoomFor(ticket);
    if (evicted !== ticket) this.#queueOf(ticket).add(ticket);
    return evicted;
  }

  /** Removes the next ticket. */
  dequeue(): T | undefined {
    return this.#order.dequeue();
  }

  remove(ticket: T): void {
    this.#queueOf(ticket).remove(ticket);
  }

  /** Other callers wait for a queued ticket than before. */
  updateCallers(ticket: T): void {
    this.#fairQueueOf(ticket)?.updateCallers(ticket);
  }

  /** How many tickets go before a queued one, if no other comes. */
  positionOf(ticket: T): number {
    const queue = this.#queueOf(ticket);
    const position = queue.positionOf(ticket);
    if (queue === this.#misses) return this.#order.positionOf(queue, position);
    return this.#order.positionOf(this.#others, this.#others.positionOf(queue, position));
  }

  /** The position that a ticket would have. */
  positionForNew(place: Ticket): number {
    // It is removed again before anyone could dequeue it.
    const ticket = place as T;
    const queue = this.#queueOf(ticket);
    queue.add(ticket);
    const position = this.positionOf(ticket);
    queue.remove(ticket);
    return position;
  }

  /** All tickets, in no particular order. */
  *[Symbol.iterator](): Generator<T, void> {
    yield* this.#misses;
    yield* this.#refreshes;
    yield* this.#revalidations;
  }

  #queueOf(ticket: T): Queue<T> {
    return this.#fairQueueOf(ticket) ?? this.#refreshes;
  }

  #fairQueueOf({ staleCopy, mustRevalidate }: T): FairQueue<T> | undefined {
    if (!staleCopy) return this.#misses;
    return mustRevalidate ? this.#revalidations : undefined;
  }

  /** @returns the ticket for which there is no room; possibly this one */
  #makeRoomFor(ticket: T): T | undefined {
    if (ticket.isRetry) return undefined;
    const queue = this.#fairQueueOf(ticket);
    const counts = queue && [...ticket.callers].map((caller) => queue.countOf(caller));
    if (counts?.every((count) => count >= this.callerLimit)) return ticket;
    if (this.size < this.limit) return undefined;
    if (!queue || !counts) return ticket;
    const ofAnotherKind =
      this.#refreshes.evict() ?? (queue === this.#misses ? this.#revalidations.evict() : undefined);
    if (ofAnotherKind) return ofAnotherKind;
    // A caller that would have most reads itself evicts no other caller's.
    return counts.some((count) => count + 1 >= queue.longest) ? ticket : (queue.evict() ?? ticket);
  }
}
