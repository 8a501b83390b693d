/** What is left of one window, for those who look on. */
export interface WindowState {
  /** The window as the settings write it: `1m`. */
  readonly name: string;
  /** Sends that it would still take now. */
  readonly remaining: number;
  /** What the subscription allows in it, and how long it is there, in milliseconds. */
  readonly limit: number;
  readonly windowMs: number;
  /** In how many milliseconds it takes one more: its oldest send leaves it. */
  readonly resetMs: number;
  /** The part of the limit that is in use: less than 1 after upstream has refused inside it. */
  readonly share: number;
}

/**
 * Where the budget is kept: `local` in a process that shares it with nobody, `shared` in Redis, `fallback` in each process for
 * its part while Redis is away.
 */
export type BudgetMode = 'local' | 'shared' | 'fallback';

export interface BudgetState {
  readonly mode: BudgetMode;
  readonly windows: readonly WindowState[];
  /** Milliseconds for which the gate is still closed; 0 when it is open. */
  readonly closedMs: number;
}

/** Leave to send one call at a moment, of which it is counted. */
export interface Permit {
  /** When the call is to go, in milliseconds on the clock of `performance.now()`. */
  readonly at: number;
  /** False when its moment has passed by too much, or the gate has closed since it was granted: it is to be given back. */
  isValid(): boolean;
  /** The call goes out now. What made it late (a new connection, a busy process) would shift what upstream counts: it is counted anew. */
  sent(): void;
  /** The call has ended: upstream has counted it by now. An answer that is later than usual tells that it may have arrived late. */
  answered(): void;
  /** No call goes. */
  giveBack(): void;
}

/** Milliseconds throughout. */
export interface Grant {
  /** In the order of their moments. */
  readonly permits: readonly Permit[];
  /** Ask for more no earlier than so long from now. */
  readonly waitMs: number;
}

/**
 * What may be sent upstream and when: several windows at once, and a gate that upstream closes. One asker asks at a time.
 */
export interface Budget {
  /**
   * Permits for the moments that are due soon.
   * @param count most of them
   * @param waiting how many reads wait for a slot here
   */
  tryAcquire(count: number, waiting: number): Promise<Grant>;
  /** In how many milliseconds the nth send from now is to be expected, at the soonest. Counts nothing. */
  forecastMs(nth: number): number;
  /** Upstream wants nothing for so many milliseconds (a 503 with Retry-After); `LONGEST_CLOSING` at most. Never shortens a closing. */
  close(forMs: number): void;
  /**
   * Upstream answered 429 inside our own limits: others use the quota, or the setting is wrong. Closes the gate for what
   * its Retry-After says (`LONGEST_CLOSING` at most), or for a growing while when it says nothing, and cuts the limit that the
   * refusal speaks of, once a closing.
   */
  onRateLimited(retryAfterMs: number | undefined): void;
  state(): BudgetState;
}
