import { FairLine, type Ticket as FairTicket } from './fair-line.ts';
import { OldestFirst } from './oldest-first.ts';

/** One that waits in line, once. */
export interface Ticket extends FairTicket {
  /** When the copy was read that it is to replace; none: it is the first read of its job. */
  readonly refreshes: number | undefined;
  /** A caller wants a newer copy than there is: it is that caller's read, not the refresh of a copy that many are served. */
  readonly strict: boolean;
}

/** So many first reads go for one of the others when both wait. */
const FIRSTS_FOR_ANOTHER = 3;

/**
 * The lines before upstream. First reads stand in a line that is fair among callers. Behind them, with a share of their own,
 * stand the refreshes of copies, the oldest copy first, so that under a tight quota all running jobs age evenly; and in turns
 * with these, fair among callers again, the reads of those who want newer copies than there are: a caller that does so in
 * a loop holds up nobody.
 */
export class Line<T extends Ticket> {
  readonly #firsts: FairLine<T>;
  readonly #refreshes = new OldestFirst<T>();
  readonly #stricts: FairLine<T>;
  /** First reads that have gone since one of the others. */
  #firstsGone = 0;
  #isStrictsTurn = false;

  /**
   * @param limit most tickets that may wait
   * @param perCaller most of one caller that may in each line
   */
  constructor(
    private readonly limit: number,
    perCaller = limit,
  ) {
    this.#firsts = new FairLine(limit, perCaller);
    this.#stricts = new FairLine(limit, perCaller);
  }

  get size(): number {
    return this.#firsts.size + this.#others;
  }

  get #others(): number {
    return this.#refreshes.size + this.#stricts.size;
  }

  /**
   * Takes a place in line. A caller that has as many as it may gets none. When all are full a refresh gives way, for there
   * is a copy; then the caller with most waiting does.
   * @returns the ticket that has lost its place; it may be this one
   */
  enter(ticket: T): T | undefined {
    const isFull = this.size >= this.limit && !ticket.again;
    const line = this.#lineOf(ticket);
    if (line) {
      if (!line.hasRoomFor(ticket)) return ticket;
      const gaveWay = isFull ? this.#giveWayTo(ticket) : undefined;
      return line.enter(ticket, !isFull || gaveWay !== undefined) ?? gaveWay;
    }
    if (isFull) return ticket;
    this.#refreshes.add(ticket, ageOf(ticket));
    return undefined;
  }

  #giveWayTo({ refreshes }: Ticket): T | undefined {
    const youngest = this.#refreshes.takeYoungest();
    return youngest ?? (refreshes === undefined ? this.#stricts.giveUp() : undefined);
  }

  /** Other callers wait for the ticket than when it took its place. */
  callersChanged(ticket: T): void {
    this.#lineOf(ticket)?.callersChanged(ticket);
  }

  leave(ticket: T): void {
    const line = this.#lineOf(ticket);
    if (line) line.leave(ticket);
    else this.#refreshes.remove(ticket);
  }

  /** Takes the next ticket out of the line. */
  next(): T | undefined {
    const isOthersTurn = this.#firsts.size === 0 || this.#firstsGone >= FIRSTS_FOR_ANOTHER;
    const other = isOthersTurn ? this.#nextOther() : undefined;
    this.#firstsGone = other ? 0 : this.#firstsGone + 1;
    return other ?? this.#firsts.next();
  }

  #nextOther(): T | undefined {
    const strict = this.#isStrictsTurn || this.#refreshes.size === 0 ? this.#stricts.next() : undefined;
    this.#isStrictsTurn = strict === undefined;
    return strict ?? this.#refreshes.takeOldest();
  }

  /** How many would go before a new first read of these callers, if nobody else came. */
  ahead(callers: Iterable<string>): number {
    return this.#withOthers(aheadIn(this.#firsts, callers));
  }

  /** How many would go before the refresh of a copy that was read then. */
  aheadOfRefresh(readAt: number): number {
    return this.#withFirsts(this.#withStricts(this.#refreshes.olderThan(readAt)));
  }

  /** How many would go before a new read of these callers that want a newer copy. */
  aheadOfStrict(callers: Iterable<string>): number {
    return this.#withFirsts(this.#withRefreshes(aheadIn(this.#stricts, callers)));
  }

  /** How many would go before one that is in line, if nobody else came. */
  before(ticket: T): number {
    if (ticket.refreshes === undefined) return this.#withOthers(this.#firsts.before(ticket));
    if (ticket.strict) return this.#withFirsts(this.#withRefreshes(this.#stricts.before(ticket)));
    return this.#withFirsts(this.#withStricts(this.#refreshes.olderThan(ageOf(ticket))));
  }

  *[Symbol.iterator](): Generator<T, void> {
    yield* this.#firsts;
    yield* this.#refreshes;
    yield* this.#stricts;
  }

  #lineOf(ticket: T): FairLine<T> | undefined {
    if (ticket.refreshes === undefined) return this.#firsts;
    return ticket.strict ? this.#stricts : undefined;
  }

  #withOthers(firsts: number): number {
    const others = Math.floor((firsts + this.#firstsGone) / FIRSTS_FOR_ANOTHER);
    return firsts + Math.min(this.#others, others);
  }

  #withFirsts(others: number): number {
    const firsts = (others + 1) * FIRSTS_FOR_ANOTHER - Math.min(this.#firstsGone, FIRSTS_FOR_ANOTHER);
    return others + Math.min(this.#firsts.size, firsts);
  }

  #withStricts(refreshes: number): number {
    return refreshes + Math.min(this.#stricts.size, refreshes + (this.#isStrictsTurn ? 1 : 0));
  }

  #withRefreshes(stricts: number): number {
    return stricts + Math.min(this.#refreshes.size, stricts + (this.#isStrictsTurn ? 0 : 1));
  }
}

function aheadIn<T extends Ticket>(line: FairLine<T>, callers: Iterable<string>): number {
  return Math.min(line.size, ...[...callers].map((caller) => line.ahead(caller)));
}

/** One that has been upstream before goes before the oldest. */
function ageOf({ again, refreshes = 0 }: Ticket): number {
  return again ? -Infinity : refreshes;
}
