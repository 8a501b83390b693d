/** State of one window, for metrics and the console. */
export interface WindowState {
  /** The window as in the settings: `1m`. */
  readonly name: string;
  /** Sends still allowed now. */
  readonly remaining: number;
  /** The subscription's limit and window length, in milliseconds. */
  readonly limit: number;
  readonly windowMs: number;
  /** Time until its oldest send leaves, in milliseconds. */
  readonly resetMs: number;
  /** The usable part of the limit: less than 1 after a 429 within it. */
  readonly share: number;
}

/**
 * Where the budget is kept: `local` in a process without Redis, `shared` in Redis, `fallback` in each process, for its
 * part of the limits, while Redis is unavailable.
 */
export type BudgetMode = 'local' | 'shared' | 'fallback';

export interface BudgetState {
  readonly mode: BudgetMode;
  readonly windows: readonly WindowState[];
  /** Time until the gate opens, in milliseconds; 0 when it is open. */
  readonly closedMs: number;
}

/** Permission to send one call at a scheduled time, at which it counts. */
export interface Permit {
  /** The scheduled send time, in milliseconds on the clock of `performance.now()`. */
  readonly at: number;
  /** False when it is too late for the scheduled time, or the gate has closed since the grant: release the permit. */
  isValid(): boolean;
  /**
   * The call was sent. If it is late (new connection, busy process), it counts at its send time, as it does upstream.
   */
  sent(): void;
  /** The call was answered. An unusually late answer suggests that the call arrived late: it then counts later. */
  answered(): void;
  /** The call will not be sent. */
  release(): void;
}

export interface Grant {
  /** In the order of their scheduled times. */
  readonly permits: readonly Permit[];
  /** Time before which asking again is useless, in milliseconds from now. */
  readonly waitMs: number;
}

/** Decides how many calls may be sent upstream and when: several windows at once, and a gate that upstream closes. */
export interface Budget {
  /**
   * Grants permits for the near future. Calls must not overlap.
   * @param count the most permits wanted
   * @param waiting number of reads that wait for a slot in this process
   */
  tryAcquire(count: number, waiting: number): Promise<Grant>;
  /** Earliest expected time of the nth send from now, in milliseconds. Counts nothing. */
  forecastMs(nth: number): number;
  /** Closes the gate after a 503 with Retry-After, for at most `LONGEST_CLOSING`. Never shortens a closing. */
  close(forMs: number): void;
  /**
   * Upstream answered 429 although the limits were kept: someone else uses the quota, or the setting is wrong. Closes
   * the gate and decreases a limit (rate-limit-policy.ts).
   */
  onRateLimited(retryAfterMs: number | undefined): void;
  state(): BudgetState;
}
