/** Something that tickets are taken from. */
interface Source<T> {
  readonly size: number;
  dequeue(): T | undefined;
}

/**
 * Weighted round robin: each member in turn gives as many tickets as it has turns in a row. This is the only definition
 * of an order by turns: `dequeue` follows it, and `positionOf` is its closed form.
 *
 * When the member at the front is empty, the next one is served in its place, and the front keeps its turns. With
 * members that stay while they are empty there may be two at most: a third would starve.
 */
export class Rotation<T, M extends Source<T>> {
  /** Members and their turns in a row, in the order in which they are served. */
  readonly #members = new Map<M, number>();
  /** Turns in a row that the member at the front has had. */
  #served = 0;

  /** A new member is served last. */
  add(member: M, turns = 1): this {
    this.#members.set(member, turns);
    return this;
  }

  /** Removes a member that has one turn in a row: what is counted of the front's turns stays true. */
  delete(member: M): void {
    this.#members.delete(member);
  }

  /** Tickets in all members together, when no ticket is in two of them. */
  get size(): number {
    let size = 0;
    for (const member of this.#members.keys()) size += member.size;
    return size;
  }

  dequeue(): T | undefined {
    let isFront = true;
    for (const [member, turns] of this.#members) {
      if (member.size === 0) {
        if (isFront) this.#served = 0;
        isFront = false;
        continue;
      }
      if (isFront) this.#countTurn(member, turns);
      return member.dequeue();
    }
    return undefined;
  }

  /**
   * How many tickets go before one of a member's, if no other comes.
   * @param index how many tickets of the same member go before it
   */
  positionOf(member: M, index: number): number {
    const [front] = this.#members.keys();
    const turns = this.#members.get(member) ?? 1;
    const rounds = Math.floor((index + (member === front ? this.#served : 0)) / turns);
    let position = index;
    let roundsOfOther = rounds + 1;
    for (const [other, otherTurns] of this.#members) {
      if (other === member) roundsOfOther = rounds;
      else {
        const served = other === front ? this.#served : 0;
        position += Math.min(other.size, roundsOfOther * otherTurns - served);
      }
    }
    return position;
  }

  *[Symbol.iterator](): Generator<M, void> {
    yield* this.#members.keys();
  }

  #countTurn(member: M, turns: number): void {
    this.#served++;
    if (this.#served < turns) return;
    this.#served = 0;
    this.#members.delete(member);
    this.#members.set(member, turns);
  }
}
