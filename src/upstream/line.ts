import { FairLine, type Ticket as FairTicket } from './fair-line.ts';
import { OldestFirst } from './oldest-first.ts';

/** One that waits in line, once. */
export interface Ticket extends FairTicket {
  /** When the copy was read that it refreshes; none: it is the first read of its job. */
  readonly refreshes: number | undefined;
}

/** So many first reads go for one refresh when both wait. */
const FIRSTS_FOR_A_REFRESH = 3;

/**
 * The two lines before upstream. First reads stand in a line that is fair among callers. Refreshes of copies stand behind
 * them, with a share of their own, the oldest copy first: so under a tight quota all running jobs age evenly, and one
 * who asks for newer copies in a loop, whose copies are the youngest, holds up nobody.
 */
export class Line<T extends Ticket> {
  readonly #firsts: FairLine<T>;
  readonly #refreshes = new OldestFirst<T>();
  /** First reads that have gone since the last refresh. */
  #firstsGone = 0;

  /**
   * @param limit most tickets that may wait
   * @param perCaller most first reads of one caller that may
   */
  constructor(
    private readonly limit: number,
    perCaller = limit,
  ) {
    this.#firsts = new FairLine(limit, perCaller);
  }

  get size(): number {
    return this.#firsts.size + this.#refreshes.size;
  }

  /**
   * Takes a place in line. A caller that has as many as it may gets none. When the line is full a refresh gives way, for there
   * is a copy; then the caller with most waiting does.
   * @returns the ticket that has lost its place; it may be this one
   */
  enter(ticket: T): T | undefined {
    const isFull = this.size >= this.limit && !ticket.again;
    if (ticket.refreshes !== undefined) {
      if (isFull) return ticket;
      this.#refreshes.add(ticket, ticket.again ? -Infinity : ticket.refreshes);
      return undefined;
    }
    if (!this.#firsts.hasRoomFor(ticket)) return ticket;
    const youngest = isFull ? this.#refreshes.takeYoungest() : undefined;
    return this.#firsts.enter(ticket) ?? youngest;
  }

  /** Other callers wait for the ticket than when it took its place. */
  callersChanged(ticket: T): void {
    if (ticket.refreshes === undefined) this.#firsts.callersChanged(ticket);
  }

  leave(ticket: T): void {
    if (ticket.refreshes === undefined) this.#firsts.leave(ticket);
    else this.#refreshes.remove(ticket);
  }

  /** Takes the next ticket out of the line. */
  next(): T | undefined {
    const isRefreshsTurn = this.#firsts.size === 0 || this.#firstsGone >= FIRSTS_FOR_A_REFRESH;
    const refresh = isRefreshsTurn ? this.#refreshes.takeOldest() : undefined;
    this.#firstsGone = refresh ? 0 : this.#firstsGone + 1;
    return refresh ?? this.#firsts.next();
  }

  /** How many would go before a new first read of these callers, if nobody else came. */
  ahead(callers: Iterable<string>): number {
    const firsts = [...callers].map((caller) => this.#firsts.ahead(caller));
    return this.#withRefreshes(Math.min(this.#firsts.size, ...firsts));
  }

  /** How many would go before the refresh of a copy that was read then. */
  aheadOfRefresh(readAt: number): number {
    return this.#withFirsts(this.#refreshes.olderThan(readAt));
  }

  /** How many would go before one that is in line, if nobody else came. */
  before(ticket: T): number {
    return ticket.refreshes === undefined
      ? this.#withRefreshes(this.#firsts.before(ticket))
      : this.#withFirsts(this.#refreshes.olderThan(ticket.again ? -Infinity : ticket.refreshes));
  }

  *[Symbol.iterator](): Generator<T, void> {
    yield* this.#firsts;
    yield* this.#refreshes;
  }

  #withRefreshes(firsts: number): number {
    return (
      firsts + Math.min(this.#refreshes.size, Math.floor((firsts + this.#firstsGone) / FIRSTS_FOR_A_REFRESH))
    );
  }

  #withFirsts(refreshes: number): number {
    const firsts = (refreshes + 1) * FIRSTS_FOR_A_REFRESH - Math.min(this.#firstsGone, FIRSTS_FOR_A_REFRESH);
    return refreshes + Math.min(this.#firsts.size, firsts);
  }
}
