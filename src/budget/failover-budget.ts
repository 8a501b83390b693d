import { type Clock, systemClock } from '../clock.ts';
import type { Budget, BudgetState, Grant } from './budget.ts';
import type { Gate } from './gate.ts';
import { type Ledger, replicaPart } from './ledger.ts';
import type { LimitReport } from './limit-report.ts';
import { limitsInUse, LocalBudget, type NamedWindow, windowStates } from './local-budget.ts';
import { rateLimitReaction } from './rate-limit-policy.ts';
import type { SharedBudget } from './shared-budget.ts';
import { recoveryStepMs } from './window-constants.ts';

/** Interval of syncs with the store, in milliseconds: while it is in use, and while it is unavailable. */
const SYNC_INTERVAL_MS = 250;
const RECOVERY_SYNC_INTERVAL_MS = 100;
/**
 * How long the store must answer before it is used again, in milliseconds. Replicas do not notice its return at the
 * same time: meanwhile each records its local sends in the store, so that the first to return does not spend what
 * others still spend.
 */
const RETURN_DELAY_MS = 400;
/**
 * How long a number of waiting reads is valid, in milliseconds: while reads wait, the budget is asked once a second.
 */
const WAITING_VALID_MS = 2000;
/** A closing that is this much longer here than in the store, in milliseconds, did not reach it. */
const CLOSING_TOLERANCE_MS = 100;
/** Delay before asking again after a request without a reply, in milliseconds. */
const RETRY_MS = 1;

export interface FailoverBudgetOptions {
  readonly shared: SharedBudget;
  /** New windows with this replica's part of the limits. */
  readonly localWindows: () => readonly NamedWindow[];
  readonly windows: readonly NamedWindow[];
  readonly replicas: number;
  readonly ledger: Ledger;
  readonly gate: Gate;
  readonly latenessMs: number;
  /** @returns whether the store is unavailable; otherwise one reply was late or lost */
  readonly onStoreError: (error: unknown) => boolean;
  /** The store has answered. */
  readonly onAnswered: () => void;
  readonly onMode: (mode: 'shared' | 'fallback', reason?: unknown) => void;
  readonly clock?: Clock;
  readonly report?: LimitReport | undefined;
}

/**
 * The shared budget while Redis answers, otherwise a local budget with this replica's part of the limits. The local
 * budget takes over at once, starts from the known sends of all replicas, without credit, and gives way when Redis is
 * back.
 */
export class FailoverBudget implements Budget {
  readonly #options: FailoverBudgetOptions;
  #local: LocalBudget | undefined;
  #waiting = 0;
  #acquiredAt = -Infinity;
  readonly #clock: Clock;
  #cancelSync = (): void => undefined;
  #isEnded = false;
  /** Since when the store has answered again, during a fallback. */
  #backSince: number | undefined;

  constructor(options: FailoverBudgetOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#scheduleSync();
  }

  #scheduleSync(): void {
    const intervalMs = this.#local ? RECOVERY_SYNC_INTERVAL_MS : SYNC_INTERVAL_MS;
    this.#cancelSync = this.#clock.after(intervalMs, () => {
      void this.sync().finally(() => {
        if (!this.#isEnded) this.#scheduleSync();
      });
    });
  }

  async tryAcquire(count: number, waiting: number): Promise<Grant> {
    this.#waiting = waiting;
    this.#acquiredAt = this.#clock.now();
    const { gate, shared } = this.#options;
    // The store would grant nothing.
    const closedMs = gate.closedMs();
    if (closedMs > 0) return { permits: [], waitMs: closedMs };
    if (!this.#local) {
      try {
        return await shared.tryAcquire(count);
      } catch (error) {
        if (!this.#options.onStoreError(error)) return { permits: [], waitMs: RETRY_MS };
        this.#fallBack(error);
      }
    }
    return this.#acquireLocally(count);
  }

  async #acquireLocally(count: number): Promise<Grant> {
    const grant = (await this.#local?.tryAcquire(count)) ?? { permits: [], waitMs: RETRY_MS };
    for (const { at } of grant.permits) {
      this.#options.shared.recordSend(at);
      // If this fails, the next sync reconciles the ledger with the store.
      if (this.#backSince !== undefined) this.#options.shared.recordNewest().catch(() => undefined);
    }
    return grant;
  }

  /** Syncs with the store, and leaves or returns to the shared budget as needed. Never rejects. */
  async sync(): Promise<void> {
    const { shared, onAnswered } = this.#options;
    try {
      const now = this.#clock.now();
      await shared.sync(now - this.#acquiredAt < WAITING_VALID_MS ? this.#waiting : 0);
      onAnswered();
      await this.#pushMissedClosing();
      if (this.#local) this.#returnToShared(this.#clock.now());
      this.#reportLimits();
    } catch (error) {
      this.#backSince = undefined;
      if (this.#options.onStoreError(error)) this.#fallBack(error);
    }
  }

  /** Repeats a closing or a decrease that the store missed. */
  async #pushMissedClosing(): Promise<void> {
    const { gate, shared } = this.#options;
    const missedMs = gate.closedMs() - shared.storeClosedMs();
    const shares = this.#local?.shares ?? shared.shares;
    const isDecreased = shares.some((share, index) => share < (shared.shares[index] ?? 1));
    if (missedMs > CLOSING_TOLERANCE_MS || isDecreased) await shared.close(gate.closedMs(), shares);
  }

  #returnToShared(now: number): void {
    this.#backSince ??= now;
    if (now - this.#backSince < RETURN_DELAY_MS) return;
    this.#backSince = undefined;
    this.#local = undefined;
    this.#options.onMode('shared');
  }

  end(): void {
    this.#isEnded = true;
    this.#cancelSync();
  }

  forecastMs(nth: number): number {
    return (this.#local ?? this.#options.shared).forecastMs(nth);
  }

  close(forMs: number): void {
    if (this.#local) {
      this.#local.close(forMs);
      return;
    }
    this.#options.gate.close(forMs, 503, forMs);
    this.#push(this.#options.shared.close(forMs));
  }

  onRateLimited(retryAfterMs: number | undefined): void {
    if (this.#local) {
      this.#local.onRateLimited(retryAfterMs);
      return;
    }
    const { gate, shared, windows } = this.#options;
    const reaction = rateLimitReaction(windows, gate, retryAfterMs);
    // At once, to stop this replica; the others learn of the closing with their next reply.
    gate.close(reaction.closeMs, 429, retryAfterMs);
    this.#push(shared.onRateLimited(reaction));
  }

  state(): BudgetState {
    if (this.#local) return this.#local.state();
    const windows = this.#sharedWindows();
    const closedMs = this.#options.gate.closedMs();
    return { mode: 'shared', windows: windowStates(windows, this.#clock.now()), closedMs };
  }

  #sharedWindows(): NamedWindow[] {
    const { windows, shared } = this.#options;
    const progressed = shared.windows();
    return windows.map((named, index) => ({ ...named, window: progressed[index] ?? named.window }));
  }

  /** Limits recover even without requests. A local budget reports its own. */
  #reportLimits(): void {
    if (this.#local) return;
    const { windows, shared, report } = this.#options;
    // Only a decreased limit is worth building the windows for.
    const isDecreased = shared.shares.some((share) => share < 1);
    const current = isDecreased ? this.#sharedWindows() : windows;
    if (isDecreased) windowStates(current, this.#clock.now());
    report?.update(limitsInUse(current));
  }

  /** Awaits an update of the store in the background. The gate is closed here already; a sync repeats a lost update. */
  #push(update: Promise<void>): void {
    update
      .then(() => {
        this.#reportLimits();
      })
      .catch((error: unknown) => {
        if (this.#options.onStoreError(error)) this.#fallBack(error);
      });
  }

  #fallBack(reason: unknown): void {
    if (this.#local) return;
    const { gate, latenessMs, onMode, replicas, report } = this.#options;
    const windows = this.#fallbackWindows(this.#clock.now());
    const common = { gate, latenessMs, replicas, report, clock: this.#clock };
    this.#local = new LocalBudget({ ...common, mode: 'fallback', windows });
    onMode('fallback', reason);
  }

  /**
   * This replica's part of each window, with its part of all known sends. There is no credit except after a closing.
   */
  #fallbackWindows(now: number): NamedWindow[] {
    const { shared, ledger, replicas, gate, localWindows } = this.#options;
    return localWindows().map((named, index) => {
      const { fullLimit, spanMs } = named.window;
      const known = ledger.times({ limit: named.limit, spanMs }, now);
      // The most that the other replicas can have sent since the last reply.
      const unknown = ((now - shared.lastReplyAt) * fullLimit * (replicas - 1)) / spanMs;
      const assumed = Array<number>(Math.ceil(Math.min(unknown, fullLimit * replicas))).fill(now);
      const sends = replicaPart(
        [...known, ...assumed].toSorted((a, b) => a - b),
        replicas,
      );
      const share = shared.shares[index] ?? 1;
      const recoversAt = share < 1 ? now + recoveryStepMs(spanMs) : Infinity;
      const window = named.window.withProgress({ credit: 0, accruedTo: now, share, recoversAt }, sends);
      if (gate.closedMs() > 0) window.closeUntil(gate.closedUntil, 1 / replicas);
      return { ...named, window };
    });
  }
}
