import { type Clock, systemClock } from '../clock.ts';
import { ArrivalDelay } from './arrival-delay.ts';
import type { Budget, BudgetMode, BudgetState, Grant, Permit, WindowState } from './budget.ts';
import type { ClosingReason, LimitInUse } from './budget-observer.ts';
import { Forecast } from './forecast.ts';
import type { Gate } from './gate.ts';
import { GrantedPermit, horizonMs, type PermitRules } from './granted-permit.ts';
import type { LimitReport } from './limit-report.ts';
import { refusingWindow } from './limit-share.ts';
import { LEAST_STEP_MS, type NamedLimit, type SpreadWindow } from './window.ts';

/** How far ahead sends are granted, in milliseconds: a busy process asks late, and is granted what was due all the same. */
const HORIZON_MS = 50;

/** A window for a limit of the settings. */
export interface NamedWindow extends NamedLimit {
  readonly window: SpreadWindow;
}

/** What is left of windows now. */
export function statesOf(windows: readonly NamedWindow[], now: number): WindowState[] {
  return windows.map(({ name, limit, windowMs, window }) => ({
    name,
    limit,
    windowMs,
    remaining: window.remaining(now),
    resetMs: window.resetMs(now),
    share: window.share,
  }));
}

/** What is in use of each limit, as of when its window was last asked. */
export function limitsInUse(windows: readonly NamedWindow[]): LimitInUse[] {
  return windows.map(({ name, window: { share, limit } }) => ({ window: name, share, limit }));
}

export interface LocalBudgetOptions {
  readonly mode?: BudgetMode;
  readonly windows: readonly NamedWindow[];
  readonly gate: Gate;
  readonly latenessMs: number;
  readonly clock?: Clock;
  readonly report?: LimitReport | undefined;
  /** How many budgets that know nothing of each other reopen together: one call goes at once in all of them. */
  readonly replicas?: number;
}

/** The budget of one process that asks nobody else. */
export class LocalBudget implements Budget {
  readonly #options: LocalBudgetOptions;
  readonly #windows: readonly SpreadWindow[];
  readonly #forecast: Forecast;
  readonly #clock: Clock;
  readonly #horizonMs: number;
  readonly #rules: PermitRules;
  /** Sends have been granted for moments up to this one. */
  #advancedTo = -Infinity;

  constructor(options: LocalBudgetOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#windows = options.windows.map(({ window }) => window);
    this.#horizonMs = horizonMs(options.windows, HORIZON_MS);
    const { gate, latenessMs } = options;
    this.#rules = {
      gate,
      latenessMs,
      usableMs: this.#horizonMs,
      clock: this.#clock,
      arrivalDelay: new ArrivalDelay(),
    };
    this.#forecast = new Forecast(() => ({ windows: this.#windows, opensAt: options.gate.closedUntil }));
  }

  tryAcquire(count = 1): Promise<Grant> {
    const grant = this.#grant(count);
    // The windows have come as far as now.
    this.#reportLimits();
    return Promise.resolve(grant);
  }

  #grant(count: number): Grant {
    const now = this.#clock.now();
    const last = now + this.#horizonMs;
    const permits: Permit[] = [];
    let at = Math.max(now, this.#advancedTo);
    while (at <= last && permits.length < count) {
      this.#advancedTo = at;
      const waitMs = this.#waitMs(at);
      if (waitMs > 0) at += Math.max(waitMs, LEAST_STEP_MS);
      else {
        permits.push(this.#permit(at));
        // As in the script, where no two sends have one time.
        at += LEAST_STEP_MS;
      }
    }
    return { permits, waitMs: Math.max(0, at - last) };
  }

  #waitMs(at: number): number {
    return Math.max(this.#options.gate.closedMs(at), ...this.#windows.map((window) => window.wait(at)));
  }

  #permit(at: number): Permit {
    for (const window of this.#windows) window.take(at);
    this.#forecast.sent();
    return new GrantedPermit(at, this.#rules, {
      onSent: () => undefined,
      onMoved: (from, to) => {
        for (const window of this.#windows) window.postpone(from, to);
      },
      onUnused: () => {
        for (const window of this.#windows) window.remove(at);
      },
    });
  }

  forecastMs(nth: number): number {
    return this.#forecast.forecastMs(nth, this.#clock.now());
  }

  close(forMs: number): void {
    this.#close(forMs, 503, forMs);
  }

  #close(forMs: number, reason: ClosingReason, saidMs: number | undefined): void {
    if (!(forMs > 0)) return;
    const { gate, replicas = 1 } = this.#options;
    gate.close(forMs, reason, saidMs);
    for (const window of this.#windows) window.closeUntil(gate.closedUntil, 1 / replicas);
    this.#forecast.forget();
  }

  onRateLimited(retryAfterMs: number | undefined): void {
    const { gate, windows } = this.#options;
    const first = gate.closedMs() === 0;
    // A refusal without a word, while another has closed the gate, says nothing new.
    if (first || retryAfterMs !== undefined) this.#close(retryAfterMs ?? gate.backoffMs(), 429, retryAfterMs);
    if (!first) return;
    refusingWindow(windows, retryAfterMs)?.window.cut(gate.closedUntil);
    this.#reportLimits();
  }

  #reportLimits(): void {
    this.#options.report?.update(limitsInUse(this.#options.windows));
  }

  /** The part of each limit that is in use. */
  get shares(): number[] {
    return this.#windows.map(({ share }) => share);
  }

  state(): BudgetState {
    const { windows, gate, mode = 'local' } = this.#options;
    const now = this.#clock.now();
    return { mode, windows: statesOf(windows, now), closedMs: gate.closedMs(now) };
  }
}
