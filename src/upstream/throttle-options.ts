/** What the queue before upstream is made with. */
export interface ThrottleOptions {
  /** Most calls under way. */
  readonly concurrency: number;
  /** Most reads waiting. */
  readonly queueLimit: number;
  /** Most of those for one caller. */
  readonly callerLimit: number;
  /** Longest that a call may take, all told, in milliseconds: the last resort when its own timeout has failed. */
  readonly callMs: number;
  /** Resolves when a call could be sent at once (upstream lives, a token is at hand): nothing is counted that cannot be sent. */
  readonly ready: () => Promise<unknown>;
  /** Told how long each read has waited for its slot, in milliseconds. */
  readonly onSlot?: (waitedMs: number) => void;
}
