import { type Clock, systemClock } from '../clock.ts';
import type { Budget, BudgetState, Grant } from './budget.ts';
import type { Gate } from './gate.ts';
import { type Ledger, partOf } from './ledger.ts';
import type { LimitReport } from './limit-report.ts';
import { recoveryStepMs } from './limit-share.ts';
import { limitsInUse, LocalBudget, type NamedWindow, statesOf } from './local-budget.ts';
import type { SharedBudget } from './shared-budget.ts';

/** How often the shared budget is looked at for what the others do, and how often for whether it is there again. In milliseconds. */
const LOOK_EVERY_MS = 250;
const LOOK_AGAIN_EVERY_MS = 100;
/**
 * How long the store has to answer again before it is gone back to, in milliseconds: so long it is told of each send that is made
 * here, and hears the same from the others, who do not all find it again in the same moment.
 */
const GRACE_MS = 400;
/** How long the number of waiting reads holds without another question, in milliseconds: while any wait there is one a second. */
const WAITING_GOOD_FOR_MS = 2000;
/** A gate that is closed here for so much longer than in the store, in milliseconds, was not told of. */
const UNHEARD_MS = 100;
/** After an answer that did not come: when to ask again, in milliseconds. */
const ASK_AGAIN_MS = 1;

export interface FailoverBudgetOptions {
  readonly shared: SharedBudget;
  /** This replica's part of each window. */
  readonly ownPart: () => readonly NamedWindow[];
  readonly windows: readonly NamedWindow[];
  readonly replicas: number;
  readonly ledger: Ledger;
  readonly gate: Gate;
  readonly latenessMs: number;
  /** Told of an error of the store. @returns whether the store is away: otherwise it was one answer that did not come */
  readonly isAway: (error: unknown) => boolean;
  /** Told when the store has answered. */
  readonly onAnswered: () => void;
  readonly onMode: (mode: 'shared' | 'fallback', reason?: unknown) => void;
  readonly clock?: Clock;
  readonly report?: LimitReport | undefined;
}

/**
 * The shared budget while Redis answers; while it does not, this replica's part of the limits in process, which starts from
 * what is known of everyone's sends, without credit. It goes on at once, and returns by itself.
 */
export class FailoverBudget implements Budget {
  readonly #options: FailoverBudgetOptions;
  #local: LocalBudget | undefined;
  #waiting = 0;
  #askedAt = -Infinity;
  readonly #clock: Clock;
  #cancelLook = (): void => undefined;
  #isEnded = false;
  /** Since when the store has answered again. */
  #backSince: number | undefined;

  constructor(options: FailoverBudgetOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#lookSoon();
  }

  #lookSoon(): void {
    const everyMs = this.#local ? LOOK_AGAIN_EVERY_MS : LOOK_EVERY_MS;
    this.#cancelLook = this.#clock.after(everyMs, () => {
      void this.sync().finally(() => {
        if (!this.#isEnded) this.#lookSoon();
      });
    });
  }

  async tryAcquire(count: number, waiting: number): Promise<Grant> {
    this.#waiting = waiting;
    this.#askedAt = this.#clock.now();
    const { gate, shared } = this.#options;
    // Whoever closed it: nothing is asked for that cannot be.
    const closedMs = gate.closedMs();
    if (closedMs > 0) return { permits: [], waitMs: closedMs };
    if (!this.#local) {
      try {
        return await shared.tryAcquire(count);
      } catch (error) {
        if (!this.#options.isAway(error)) return { permits: [], waitMs: ASK_AGAIN_MS };
        this.#fallBack(error);
      }
    }
    return this.#askOwn(count);
  }

  async #askOwn(count: number): Promise<Grant> {
    const grant = (await this.#local?.tryAcquire(count)) ?? { permits: [], waitMs: ASK_AGAIN_MS };
    for (const { at } of grant.permits) {
      this.#options.shared.recordSend(at);
      // What cannot be told now is with the next look.
      if (this.#backSince !== undefined) this.#options.shared.recordNewest().catch(() => undefined);
    }
    return grant;
  }

  /** Looks at the shared budget, and returns to it if it was away. Never rejects. */
  async sync(): Promise<void> {
    const { shared, onAnswered } = this.#options;
    try {
      const now = this.#clock.now();
      await shared.sync(now - this.#askedAt < WAITING_GOOD_FOR_MS ? this.#waiting : 0);
      onAnswered();
      await this.#sayWhatWasNotHeard();
      if (this.#local) this.#comeBack(this.#clock.now());
      this.#reportLimits();
    } catch (error) {
      this.#backSince = undefined;
      if (this.#options.isAway(error)) this.#fallBack(error);
    }
  }

  /** A closing, or a cut, that was made while the store was away or whose word was lost. */
  async #sayWhatWasNotHeard(): Promise<void> {
    const { gate, shared } = this.#options;
    const unheardMs = gate.closedMs() - shared.storeClosedMs();
    const shares = this.#local?.shares ?? shared.shares;
    const isCut = shares.some((share, index) => share < (shared.shares[index] ?? 1));
    if (unheardMs > UNHEARD_MS || isCut) await shared.close(gate.closedMs(), shares);
  }

  #comeBack(now: number): void {
    this.#backSince ??= now;
    if (now - this.#backSince < GRACE_MS) return;
    this.#backSince = undefined;
    this.#local = undefined;
    this.#options.onMode('shared');
  }

  end(): void {
    this.#isEnded = true;
    this.#cancelLook();
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
    this.#say(this.#options.shared.close(forMs));
  }

  onRateLimited(retryAfterMs: number | undefined): void {
    if (this.#local) {
      this.#local.onRateLimited(retryAfterMs);
      return;
    }
    const { gate, shared } = this.#options;
    const forMs = retryAfterMs ?? (gate.closedMs() > 0 ? 0 : gate.backoffMs());
    // Before anything else can be sent from here; the others learn of it with their next question.
    gate.close(forMs, 429, retryAfterMs);
    this.#say(shared.onRateLimited(forMs, retryAfterMs));
  }

  state(): BudgetState {
    if (this.#local) return this.#local.state();
    const windows = this.#sharedWindows();
    const closedMs = this.#options.gate.closedMs();
    return { mode: 'shared', windows: statesOf(windows, this.#clock.now()), closedMs };
  }

  #sharedWindows(): NamedWindow[] {
    const { windows, shared } = this.#options;
    const progressed = shared.windows();
    return windows.map((named, index) => ({ ...named, window: progressed[index] ?? named.window }));
  }

  /** A limit recovers while nobody asks; a local budget reports its own. Copies are made only while there is one to recover. */
  #reportLimits(): void {
    if (this.#local) return;
    const { windows, shared, report } = this.#options;
    const isLowered = shared.shares.some((share) => share < 1);
    const current = isLowered ? this.#sharedWindows() : windows;
    if (isLowered) statesOf(current, this.#clock.now());
    report?.update(limitsInUse(current));
  }

  /** The gate is closed here already: what the store did not hear it is told when it is back. */
  #say(said: Promise<void>): void {
    said
      .then(() => {
        this.#reportLimits();
      })
      .catch((error: unknown) => {
        if (this.#options.isAway(error)) this.#fallBack(error);
      });
  }

  #fallBack(reason: unknown): void {
    if (this.#local) return;
    const { gate, latenessMs, onMode, replicas, report } = this.#options;
    const windows = this.#ownWindows(this.#clock.now());
    const common = { gate, latenessMs, replicas, report, clock: this.#clock };
    this.#local = new LocalBudget({ ...common, mode: 'fallback', windows });
    onMode('fallback', reason);
  }

  /** This replica's part of each window, with its part of everyone's sends in it, and without credit but for a reopening. */
  #ownWindows(now: number): NamedWindow[] {
    const { shared, ledger, replicas, gate, ownPart } = this.#options;
    return ownPart().map((named, index) => {
      const { fullLimit, spanMs } = named.window;
      const known = ledger.times({ limit: named.limit, spanMs }, now);
      // What the others have sent since they were heard of last: as much as they may have.
      const unheard = ((now - shared.heardAt) * fullLimit * (replicas - 1)) / spanMs;
      const latest = Array<number>(Math.ceil(Math.min(unheard, fullLimit * replicas))).fill(now);
      const sends = partOf(
        [...known, ...latest].toSorted((a, b) => a - b),
        replicas,
      );
      const share = shared.shares[index] ?? 1;
      const recoversAt = share < 1 ? now + recoveryStepMs(spanMs) : Infinity;
      const window = named.window.at({ credit: 0, accruedTo: now, share, recoversAt }, sends);
      if (gate.closedMs() > 0) window.closeUntil(gate.closedUntil, 1 / replicas);
      return { ...named, window };
    });
  }
}
