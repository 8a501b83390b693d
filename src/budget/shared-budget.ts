import { type Clock, systemClock } from '../clock.ts';
import { ArrivalDelay } from './arrival-delay.ts';
import type { Grant, Permit } from './budget.ts';
import type { BudgetStore, KnownState, Operation, Reply } from './budget-store.ts';
import { Forecast } from './forecast.ts';
import type { Gate } from './gate.ts';
import { GrantedPermit, horizonMs, type PermitRules } from './granted-permit.ts';
import type { Ledger } from './ledger.ts';
import type { NamedWindow } from './local-budget.ts';
import { OwnSends } from './own-sends.ts';
import type { RateLimitReaction } from './rate-limit-policy.ts';
import { SharedWindows } from './shared-windows.ts';
import { StateReconciler } from './state-reconciler.ts';
import { StoreClock } from './store-clock.ts';
import type { SpreadWindow } from './window.ts';

/** Attempts at an operation while other replicas keep replacing the state. */
const MAX_ATTEMPTS = 5;
/**
 * How far ahead sends are granted: this long, because a busy process asks late, plus several reply times, so that a
 * distant store cannot delay sends. No further, because replicas learn of a closing with their next reply. In
 * milliseconds, and in reply times.
 */
const NEAR_HORIZON_MS = 50;
const REPLIES_AHEAD = 3;
/** How late a permit may be used, in milliseconds. */
const USABLE_MS = 250;
const LONGEST_HORIZON_MS = 900;

export interface SharedBudgetOptions {
  readonly store: Pick<BudgetStore, 'run' | 'replica'>;
  /** Give the size of each window; their progress is in the store. */
  readonly windows: readonly NamedWindow[];
  readonly ledger: Ledger;
  readonly gate: Gate;
  readonly latenessMs: number;
  readonly clock?: Clock;
  /** Receives the limits of other replicas that differ from this one's. */
  readonly onOtherLimits?: ((limits: readonly string[]) => void) | undefined;
}

/** The budget that all replicas share. Its asynchronous methods reject when the store does not answer. */
export class SharedBudget {
  readonly #options: SharedBudgetOptions;
  readonly #forecast: Forecast;
  readonly #reconciler: StateReconciler;
  readonly #own: OwnSends;
  readonly #windows: SharedWindows;
  readonly #clock: Clock;
  readonly #rules: PermitRules;
  readonly #storeClock = new StoreClock();
  /** Version of the state that contains everything that this replica knows; set once a merge is complete. */
  #version: string | undefined;
  #cursors: readonly string[] | undefined;
  #completions = 0;
  /** Numbers of reads that wait at other replicas. */
  #waitingElsewhere: readonly number[] = [];
  #storeClosedUntil = -Infinity;
  /** When the last reply of the store arrived. */
  lastReplyAt: number;

  constructor(options: SharedBudgetOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.lastReplyAt = this.#clock.now();
    const { gate, latenessMs, ledger, windows } = options;
    const usableMs = horizonMs(windows, USABLE_MS);
    this.#rules = { gate, latenessMs, usableMs, clock: this.#clock, arrivalDelay: new ArrivalDelay() };
    this.#forecast = new Forecast(() => ({ windows: this.windows(), opensAt: options.gate.closedUntil }));
    this.#windows = new SharedWindows(windows, ledger);
    this.#own = new OwnSends(ledger, options.store.replica, windows[0]?.limit ?? 1);
    this.#reconciler = new StateReconciler(ledger, this.#clock, (operation) => this.#request(operation));
  }

  /** As `Budget.tryAcquire`. */
  async tryAcquire(count: number): Promise<Grant> {
    const sends = this.#own.reserve(count, this.#clock.now());
    try {
      const { moments, wait, now } = await this.#run({ op: 'acquire', sends, ...this.#grantRange() });
      this.#own.unreserve(sends.slice(moments.length));
      const granted = sends.slice(0, moments.length);
      const permits = granted.map((send, index) => this.#permit(send, now + (moments[index] ?? 0)));
      return { permits, waitMs: Math.max(0, this.#storeClock.toLocal(now + wait) - this.#clock.now()) };
    } catch (error) {
      // The sends may have been granted and the reply lost.
      this.#own.markLost(sends);
      throw error;
    }
  }

  /** Range of send times to grant, relative to now. */
  #grantRange(): { lead: number; horizon: number } {
    const lead = Math.min(this.#storeClock.leadMs, LONGEST_HORIZON_MS / 2);
    const ahead = NEAR_HORIZON_MS + REPLIES_AHEAD * lead;
    const horizon = Math.max(horizonMs(this.#options.windows, ahead), 2 * lead);
    return { lead, horizon: Math.min(horizon, LONGEST_HORIZON_MS) };
  }

  #permit(send: string, storeTime: number): Permit {
    const at = this.#storeClock.toLocal(storeTime);
    this.#own.recordGranted(send, at);
    this.#onSendCounted();
    return new GrantedPermit(at, this.#rules, {
      onSent: () => {
        this.#own.sent(send);
      },
      onMoved: (_, to) => {
        this.#moveSend(send, to);
      },
      onUnused: () => {
        this.#own.markUnused(send);
        this.#windows.onChanged();
      },
    });
  }

  /** Moves a send to a later time, in the background. If that fails, the store keeps the granted time. */
  #moveSend(send: string, at: number): void {
    this.#own.record(send, at);
    const agoMs = Math.max(0, this.#clock.now() - at);
    this.#options.store.run(this.#knownState(), { op: 'move', send, agoMs }).catch(() => undefined);
  }

  /** Records in the store the newest send of this replica, which was granted by its local budget. */
  async recordNewest(): Promise<void> {
    if (this.#own.newest !== undefined) await this.#run({ op: 'record', send: this.#own.newest });
  }

  /** Fetches the state and announces how many reads wait in this process. */
  async sync(waiting: number): Promise<void> {
    const { others, otherLimits, completions } = await this.#run({ op: 'sync', waiting });
    this.#waitingElsewhere = others;
    if (this.#completions !== completions) await this.#reconciler.list();
    this.#completions = completions;
    if (otherLimits.length > 0) this.#options.onOtherLimits?.(otherLimits);
  }

  /** @param shares the usable part of each limit, where the local budget has decreased it */
  async close(forMs: number, shares: readonly number[] = this.shares): Promise<void> {
    await this.#run({ op: 'close', forMs, shares });
  }

  /** Time until the gate opens according to the last reply, in milliseconds. */
  storeClosedMs(): number {
    return Math.max(0, this.#storeClosedUntil - this.#clock.now());
  }

  async onRateLimited(reaction: RateLimitReaction): Promise<void> {
    await this.#run({ op: 'rateLimited', ...reaction });
  }

  /** As `Budget.forecastMs`: reads of other replicas get permits in turns with those of this one. */
  forecastMs(nth: number): number {
    const sendsElsewhere = this.#waitingElsewhere.reduce((sum, waiting) => sum + Math.min(waiting, nth), 0);
    const now = this.#clock.now();
    // The forecast may not know of the latest closing yet.
    return Math.max(this.#options.gate.closedMs(), this.#forecast.forecastMs(nth + sendsElsewhere, now));
  }

  /** Counts a send that was granted by this replica's local budget. */
  recordSend(at: number): void {
    this.#own.recordLocal(at);
    this.#onSendCounted();
  }

  #onSendCounted(): void {
    this.#windows.onChanged();
    this.#forecast.onSend();
  }

  /** The windows as of the last reply, on the local clock. */
  windows(): readonly SpreadWindow[] {
    return this.#windows.at(this.#clock.now());
  }

  /** The usable part of each limit. */
  get shares(): number[] {
    return this.#windows.shares;
  }

  /** Runs an operation; reconciles with the store first when it holds a state that this replica does not know. */
  async #run(operation: Operation): Promise<Reply> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const reply = await this.#request(operation);
      if (reply.known) return reply;
      const { version, cursors } = await this.#reconciler.reconcile({
        closedMs: this.#options.gate.closedMs(),
        shares: this.shares,
        isNewReplica: !this.#windows.isKnown,
      });
      [this.#version, this.#cursors] = [version, cursors];
    }
    throw new Error('shared budget state changes too fast');
  }

  async #request(operation: Operation): Promise<Reply> {
    const askedAt = this.#clock.now();
    const knownState = this.#knownState();
    const reply = await this.#options.store.run(knownState, operation);
    const now = this.#clock.now();
    this.#storeClock.observe(reply.now, askedAt, now);
    if (reply.known) {
      this.#own.onUnusedReported(knownState.unused);
      [this.#version, this.#cursors] = [reply.version, reply.cursors];
    }
    this.#apply(reply, now);
    return reply;
  }

  #apply(reply: Reply, now: number): void {
    this.lastReplyAt = now;
    const { ledger, gate } = this.#options;
    const storeNow = this.#storeClock.toLocal(reply.now);
    // Bounded, because an invalid time far ahead would count until then.
    for (const [size, id, ago] of reply.sends) {
      if (this.#own.isKnown(size, id)) continue;
      ledger.record(size, id, Math.min(storeNow - ago, now + LONGEST_HORIZON_MS));
    }
    const closedMs = reply.closedMs > 0 ? Math.max(0, storeNow + reply.closedMs - now) : 0;
    gate.close(closedMs, 'replica');
    this.#storeClosedUntil = now + Math.min(closedMs, gate.longestClosingMs);
    this.#windows.onChanged();
    if (reply.version === undefined) return;
    this.#windows.update(reply.windows, storeNow, now + LONGEST_HORIZON_MS, gate.closedUntil);
  }

  #knownState(): KnownState & { readonly unused: readonly string[] } {
    const newest = this.#own.newestCounted(this.#clock.now());
    return { version: this.#version, cursors: this.#cursors, newest, unused: this.#own.unused };
  }
}
