/** A send that the store has not heard of: its id, and how long ago it was made, in milliseconds. */
export type ToldSend = readonly [id: string, agoMs: number];

/** Most sends that are told at a time, the newest: some hundred bytes each. */
const MOST_TOLD = 20_000;

/**
 * What a replica remembers of the deployment's sends in the longest window: its own, and those of others that it has heard
 * of. From here a store that has lost its state is told what it held, and a budget of the replica's own starts. Times
 * in milliseconds on the clock of `performance.now()`.
 */
export class Ledger {
  readonly #sends = new Map<string, number>();

  /** @param spanMs how long a send counts */
  constructor(private readonly spanMs: number) {}

  /** Whether a send was ever noted: a replica without one may be the first of a new deployment. */
  get empty(): boolean {
    return this.#sends.size === 0;
  }

  note(id: string, at: number): void {
    this.#sends.set(id, at);
  }

  /** Times of the sends that count now, oldest first. */
  times(now: number): number[] {
    this.#prune(now);
    return [...this.#sends.values()].filter((at) => at > now - this.spanMs).sort((a, b) => a - b);
  }

  /** Whether this send still counts. */
  counts(id: string, now: number): boolean {
    return (this.#sends.get(id) ?? -Infinity) > now - this.spanMs;
  }

  /** Those that count now and that the others do not have. */
  missingIn(others: ReadonlySet<string>, now: number): ToldSend[] {
    this.#prune(now);
    const missing: ToldSend[] = [];
    for (const [id, at] of this.#sends) if (!others.has(id)) missing.push([id, now - at]);
    return missing.slice(-MOST_TOLD);
  }

  /** They were noted in the order of their times, or nearly. */
  #prune(now: number): void {
    for (const [id, at] of this.#sends) {
      if (at > now - this.spanMs) return;
      this.#sends.delete(id);
    }
  }
}

/**
 * One replica's part of sends that all replicas know of: when each lets its own go beside that part, they stay within the
 * limit together. @param times oldest first
 */
export function partOf(times: readonly number[], replicas: number): number[] {
  return times.filter((_, index) => index % replicas === replicas - 1 || index === times.length - 1);
}
