import { Rotation } from './rotation.ts';
import { SortedQueue } from './sorted-queue.ts';

/** A place in the queue for the callers that wait for one read. */
export interface FairTicket {
  /** Names of the callers that wait for it, each once. */
  readonly callers: Iterable<string>;
  /** The read has been upstream before: it goes first among its callers' tickets and is never evicted. */
  readonly isRetry: boolean;
}

const NO_CALLERS: ReadonlySet<string> = new Set();

/**
 * A queue for each caller, served in rotation: one caller's flood does not delay another's reads. A ticket of several
 * callers is in the queue of each, and goes when the first of them has its turn.
 */
export class FairQueue<T extends FairTicket> {
  readonly #queues = new Map<string, SortedQueue<T>>();
  readonly #rotation = new Rotation<T, SortedQueue<T>>();
  /** In whose queues each ticket is. */
  readonly #callersOf = new Map<T, ReadonlySet<string>>();
  /** Tickets that are in more than one queue. */
  #shared = 0;

  get size(): number {
    return this.#callersOf.size;
  }

  /** Tickets of the caller with most. */
  get longest(): number {
    let longest = 0;
    for (const { size } of this.#rotation) longest = Math.max(longest, size);
    return longest;
  }

  countOf(caller: string): number {
    return this.#queues.get(caller)?.size ?? 0;
  }

  add(ticket: T): void {
    this.#setCallers(ticket, new Set(ticket.callers));
  }

  /** Moves a ticket into the queues of those who wait for it now. Without any it leaves. */
  updateCallers(ticket: T): void {
    if (this.#callersOf.has(ticket)) this.add(ticket);
  }

  remove(ticket: T): void {
    this.#setCallers(ticket, NO_CALLERS);
  }

  dequeue(): T | undefined {
    const ticket = this.#rotation.dequeue();
    if (ticket !== undefined) this.remove(ticket);
    return ticket;
  }

  /** Removes the newest ticket of the caller with most; one that no other caller waits for, if there is such a one. */
  evict(): T | undefined {
    const { longest } = this;
    const floods = [...this.#rotation].filter(({ size }) => size === longest);
    const tickets = floods.flatMap((queue) => [...queue]).filter(({ isRetry }) => !isRetry);
    const evicted = tickets.findLast((ticket) => this.#callersOf.get(ticket)?.size === 1) ?? tickets.at(-1);
    if (evicted !== undefined) this.remove(evicted);
    return evicted;
  }

  /** How many go before the ticket, if no other comes; all when it is not queued. */
  positionOf(ticket: T): number {
    const [caller, ...others] = this.#callersOf.get(ticket) ?? NO_CALLERS;
    const queue = caller === undefined ? undefined : this.#queues.get(caller);
    if (!queue) return this.size;
    // The closed form holds while each ticket is in one queue alone.
    if (this.#shared > 0 || others.length > 0) return this.#countTurnsBefore(ticket);
    return this.#rotation.positionOf(queue, queue.positionOf(ticket));
  }

  [Symbol.iterator](): Iterator<T, void> {
    return this.#callersOf.keys();
  }

  /** Goes through the turns one by one, since a shared ticket leaves several queues at once. */
  #countTurnsBefore(ticket: T): number {
    const gone = new Set<T>();
    let queues = [...this.#rotation].map((queue) => queue[Symbol.iterator]());
    while (queues.length > 0) {
      const left: typeof queues = [];
      for (const queue of queues) {
        const next = firstNotIn(gone, queue);
        if (next === ticket) return gone.size;
        if (next === undefined) continue;
        gone.add(next);
        left.push(queue);
      }
      queues = left;
    }
    return gone.size;
  }

  #setCallers(ticket: T, callers: ReadonlySet<string>): void {
    const before = this.#callersOf.get(ticket) ?? NO_CALLERS;
    for (const caller of before) if (!callers.has(caller)) this.#leave(ticket, caller);
    for (const caller of callers) if (!before.has(caller)) this.#join(ticket, caller);
    this.#shared += Number(callers.size > 1) - Number(before.size > 1);
    if (callers.size > 0) this.#callersOf.set(ticket, callers);
    else this.#callersOf.delete(ticket);
  }

  #join(ticket: T, caller: string): void {
    let queue = this.#queues.get(caller);
    if (!queue) {
      queue = new SortedQueue<T>(({ isRetry }) => (isRetry ? 0 : 1));
      this.#queues.set(caller, queue);
      this.#rotation.add(queue);
    }
    queue.add(ticket);
  }

  #leave(ticket: T, caller: string): void {
    const queue = this.#queues.get(caller);
    queue?.remove(ticket);
    if (queue?.size !== 0) return;
    this.#queues.delete(caller);
    this.#rotation.delete(queue);
  }
}

function firstNotIn<T>(gone: ReadonlySet<T>, rest: Iterator<T, void>): T | undefined {
  for (let turn = rest.next(); !turn.done; turn = rest.next()) if (!gone.has(turn.value)) return turn.value;
  return undefined;
}
