/** A line in the order of age. Most that come are the youngest, so that a place is found from the end. */
export class OldestFirst<T> {
  readonly #places: { readonly one: T; readonly since: number }[] = [];

  get size(): number {
    return this.#places.length;
  }

  add(one: T, since: number): void {
    let at = this.#places.length;
    while (at > 0 && (this.#places[at - 1]?.since ?? -Infinity) > since) at--;
    this.#places.splice(at, 0, { one, since });
  }

  remove(one: T): void {
    const at = this.#places.findIndex((place) => place.one === one);
    if (at >= 0) this.#places.splice(at, 1);
  }

  takeOldest(): T | undefined {
    return this.#places.shift()?.one;
  }

  takeYoungest(): T | undefined {
    return this.#places.pop()?.one;
  }

  olderThan(since: number): number {
    const at = this.#places.findIndex((place) => place.since >= since);
    return at < 0 ? this.#places.length : at;
  }

  *[Symbol.iterator](): Generator<T, void> {
    for (const { one } of this.#places) yield one;
  }
}
