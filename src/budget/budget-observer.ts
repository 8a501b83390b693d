/** Why the gate closed: upstream's status code, or another replica closed it in the shared state. */
export type ClosingReason = 429 | 503 | 'replica';

/** Durations in milliseconds. */
export interface Closing {
  readonly forMs: number;
  readonly reason: ClosingReason;
  /** Upstream's Retry-After, if there was one. */
  readonly retryAfterMs?: number | undefined;
}

/** Notified when the gate closes and opens. */
export interface GateObserver {
  /** The gate closed, or a closing was extended by more than a second. */
  gateClosed(closing: Closing): void;
  /** @param closedMs how long it was closed */
  gateOpened(closedMs: number): void;
  /** Upstream asked for a longer pause than `LONGEST_CLOSING`. Once per closing. */
  pauseShortened(retryAfterMs: number, closedMs: number): void;
}

/** The usable part of one limit. */
export interface LimitInUse {
  readonly window: string;
  /** 0 to 1. */
  readonly share: number;
  /** Calls per window. */
  readonly limit: number;
}

/** Notified of changes that operators would otherwise have to infer from the call rate. */
export interface BudgetObserver extends GateObserver {
  limitLowered(limit: LimitInUse): void;
  limitRaised(limit: LimitInUse): void;
  /** Other replicas that share the quota use different limits, given here as in the settings. Once. */
  otherLimits(limits: readonly string[]): void;
}
