export interface ThrottleOptions {
  /** Most calls under way. */
  readonly concurrency: number;
  /** Most queued reads. */
  readonly queueLimit: number;
  /** Most queued reads of one caller. */
  readonly callerLimit: number;
  /** Longest that a call may take in all, in milliseconds: the last resort when its own timeout has failed. */
  readonly callMs: number;
  /**
   * Resolves when a call could be sent at once: upstream answers and there is a token. No permit is asked for before.
   */
  readonly ready: () => Promise<unknown>;
  /** Told how long each read has waited in the queue, in milliseconds. */
  readonly onSlot?: (waitedMs: number) => void;
}
