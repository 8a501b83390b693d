/** One that waits in line, once, for one or more callers. */
export interface Ticket {
  /** Names of the callers that wait for it. */
  readonly callers: Iterable<string>;
  /** It has been at the front before, and goes first in its callers' lines. Such a ticket is never turned away. */
  readonly again: boolean;
}

/** Those of one caller, in order of arrival; `again` goes first. */
interface CallerLine<T> {
  readonly again: Set<T>;
  readonly waiting: Set<T>;
}

/**
 * A line of its own for each caller, taken from in turn: one caller's flood does not hold up another's reads. A ticket
 * that several callers wait for stands in the line of each, and goes when the first of them has its turn.
 */
export class FairLine<T extends Ticket> {
  /** In the order of their turns. */
  readonly #lines = new Map<string, CallerLine<T>>();
  readonly #places = new Map<T, Set<string>>();
  /** How many of them stand in more than one line. */
  #shared = 0;

  /**
   * @param limit most tickets that may wait
   * @param perCaller most that may wait for one caller alone
   */
  constructor(
    private readonly limit: number,
    private readonly perCaller = limit,
  ) {}

  get size(): number {
    return this.#places.size;
  }

  /** Whether one of those who wait for it has room in its own line. */
  hasRoomFor({ callers, again }: T): boolean {
    return again || [...callers].some((caller) => this.#waitingOf(caller) < this.perCaller);
  }

  /**
   * Takes a place in line. When the line is full, the caller with most tickets waiting gives one up: its last.
   * @param hasRoom whether there is room for it
   * @returns the ticket that has lost its place; it may be this one
   */
  enter(ticket: T, hasRoom = this.size < this.limit): T | undefined {
    const turnedAway = ticket.again || hasRoom ? undefined : this.#makeRoomFor(ticket);
    if (turnedAway !== ticket) this.#stand(ticket);
    return turnedAway;
  }

  /** Other callers wait for the ticket than when it took its place. */
  callersChanged(ticket: T): void {
    const before = this.#places.get(ticket);
    if (!before) return;
    const now = new Set(ticket.callers);
    for (const caller of before) if (!now.has(caller)) this.#drop(ticket, caller);
    for (const caller of now) if (!before.has(caller)) this.#standIn(ticket, caller);
    this.#place(ticket, now);
  }

  leave(ticket: T): void {
    for (const caller of this.#places.get(ticket) ?? []) this.#drop(ticket, caller);
    this.#place(ticket, NOWHERE);
  }

  /** Takes the next ticket out of the line. */
  next(): T | undefined {
    for (const [caller, line] of this.#lines) {
      const [ticket] = line.again.size > 0 ? line.again : line.waiting;
      if (ticket === undefined) continue;
      // The caller's next turn comes after everyone else's.
      this.#lines.delete(caller);
      this.#lines.set(caller, line);
      this.leave(ticket);
      return ticket;
    }
    return undefined;
  }

  /** How many would go before a new ticket of this caller, if nobody else came. */
  ahead(caller: string): number {
    const own = this.#waitingOf(caller);
    let ahead = own;
    for (const [name, line] of this.#lines) {
      if (name !== caller) ahead += Math.min(lengthOf(line), own + 1);
    }
    return Math.min(ahead, this.size);
  }

  /** How many would go before one that is in line, if nobody else came. */
  before(ticket: T): number {
    const [caller, ...others] = this.#places.get(ticket) ?? [];
    if (caller === undefined) return this.size;
    // As long as each stands in one line alone, nobody has to be counted one by one: every read that enters asks this.
    if (this.#shared === 0 && others.length === 0) return this.#beforeIn(caller, ticket);
    let before = 0;
    for (const other of this) {
      if (other === ticket) break;
      before++;
    }
    return before;
  }

  /** Those before it in its own line, and of each other line as many, and one more where that has its turn first. */
  #beforeIn(caller: string, ticket: T): number {
    const own = this.#lines.get(caller);
    const place = own ? placeIn(own, ticket) : 0;
    let before = place;
    let isFirst = true;
    for (const [name, line] of this.#lines) {
      if (name === caller) isFirst = false;
      else before += Math.min(lengthOf(line), place + (isFirst ? 1 : 0));
    }
    return before;
  }

  /** Those in line, in the order in which they would go if nobody else came. */
  *[Symbol.iterator](): Generator<T, void> {
    const gone = new Set<T>();
    const count = this.size;
    const lines = [...this.#lines.values()].map(({ again, waiting }) => [...again, ...waiting].values());
    while (gone.size < count) {
      for (const line of lines) {
        const ticket = firstBut(gone, line);
        if (ticket === undefined) continue;
        gone.add(ticket);
        yield ticket;
      }
    }
  }

  #makeRoomFor(ticket: T): T {
    const most = this.#most;
    for (const caller of ticket.callers) if (this.#waitingOf(caller) + 1 >= most) return ticket;
    return this.giveUp() ?? ticket;
  }

  /** Takes out the last of the caller with most tickets waiting, to make room. */
  giveUp(): T | undefined {
    const most = this.#most;
    const floods = [...this.#lines].filter(([caller]) => this.#waitingOf(caller) === most);
    const candidates = floods.flatMap(([, line]) => [...line.waiting]);
    // Best one that nobody else waits for. A flood that is shared has none: its last all the same, before one who floods nothing.
    const last = candidates.findLast((one) => this.#places.get(one)?.size === 1) ?? candidates.at(-1);
    if (last !== undefined) this.leave(last);
    return last;
  }

  get #most(): number {
    return Math.max(0, ...[...this.#lines.keys()].map((caller) => this.#waitingOf(caller)));
  }

  #waitingOf(caller: string): number {
    const line = this.#lines.get(caller);
    return line ? lengthOf(line) : 0;
  }

  #stand(ticket: T): void {
    const callers = new Set(ticket.callers);
    this.#place(ticket, callers);
    for (const caller of callers) this.#standIn(ticket, caller);
  }

  #place(ticket: T, callers: Set<string>): void {
    this.#shared -= isShared(this.#places.get(ticket));
    this.#shared += isShared(callers);
    if (callers.size > 0) this.#places.set(ticket, callers);
    else this.#places.delete(ticket);
  }

  #standIn(ticket: T, caller: string): void {
    const line = this.#lines.get(caller) ?? { again: new Set(), waiting: new Set() };
    this.#lines.set(caller, line);
    (ticket.again ? line.again : line.waiting).add(ticket);
  }

  #drop(ticket: T, caller: string): void {
    const line = this.#lines.get(caller);
    if (!line) return;
    line.again.delete(ticket);
    line.waiting.delete(ticket);
    if (lengthOf(line) === 0) this.#lines.delete(caller);
  }
}

const NOWHERE = new Set<string>();

function isShared(callers = NOWHERE): number {
  return callers.size > 1 ? 1 : 0;
}

function lengthOf<T>({ again, waiting }: CallerLine<T>): number {
  return again.size + waiting.size;
}

/** How many stand before it in a line that it stands in. */
function placeIn<T>(line: CallerLine<T>, ticket: T): number {
  let place = 0;
  for (const other of line.again) {
    if (other === ticket) return place;
    place++;
  }
  for (const other of line.waiting) {
    if (other === ticket) return place;
    place++;
  }
  return place;
}

/** Takes from the rest of a line until there is one that has not gone with another line. */
function firstBut<T>(gone: ReadonlySet<T>, rest: Iterator<T>): T | undefined {
  for (let turn = rest.next(); !turn.done; turn = rest.next()) if (!gone.has(turn.value)) return turn.value;
  return undefined;
}
