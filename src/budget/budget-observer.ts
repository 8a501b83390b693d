/** Why the gate closed: upstream's status, or another replica closed it in the shared state. */
export type ClosingReason = 429 | 503 | 'replica';

/** Milliseconds throughout. */
export interface Closing {
  readonly forMs: number;
  readonly reason: ClosingReason;
  /** What upstream's Retry-After asked for; absent when it did not say. */
  readonly saidMs?: number | undefined;
}

/** Told when the gate closes and opens. */
export interface GateObserver {
  /** The gate closed, or its closing was prolonged by more than a second. */
  gateClosed(closing: Closing): void;
  /** @param closedMs how long it was closed */
  gateOpened(closedMs: number): void;
  /** Upstream asked for a longer pause than is granted. Once a closing. */
  pauseShortened(saidMs: number, closedMs: number): void;
}

/** What is in use of one limit. */
export interface LimitInUse {
  readonly window: string;
  /** 0 to 1. */
  readonly share: number;
  /** Calls in one window. */
  readonly limit: number;
}

/** Told of what operators would otherwise have to infer from the pace of calls. */
export interface BudgetObserver extends GateObserver {
  limitLowered(limit: LimitInUse): void;
  limitRaised(limit: LimitInUse): void;
  /** Other replicas that share the quota go by these limits, as the settings write them. Once. */
  otherLimits(limits: readonly string[]): void;
}
