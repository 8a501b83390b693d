import { type Clock, systemClock } from '../clock.ts';
import { ArrivalDelay } from './arrival-delay.ts';
import type { Budget, BudgetMode, BudgetState, Grant, Permit, WindowState } from './budget.ts';
import type { ClosingReason, LimitInUse } from './budget-observer.ts';
import { Forecast } from './forecast.ts';
import type { Gate } from './gate.ts';
import { GrantedPermit, horizonMs, type PermitRules } from './granted-permit.ts';
import type { LimitReport } from './limit-report.ts';
import { rateLimitReaction } from './rate-limit-policy.ts';
import { WINDOW_CONSTANTS } from './window-constants.ts';
import type { NamedLimit, SpreadWindow } from './window.ts';

/** How far ahead sends are granted, in milliseconds, so that a busy process that asks late loses none. */
const HORIZON_MS = 50;

/** A limit of the settings and its window. */
export interface NamedWindow extends NamedLimit {
  readonly window: SpreadWindow;
}

/** The state of windows now. */
export function windowStates(windows: readonly NamedWindow[], now: number): WindowState[] {
  return windows.map(({ name, limit, windowMs, window }) => ({
    name,
    limit,
    windowMs,
    remaining: window.remaining(now),
    resetMs: window.resetMs(now),
    share: window.share,
  }));
}

/** The usable part of each limit, as of when its window last advanced. */
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
  /** Number of uncoordinated budgets that reopen together: after a closing they send one call between them at once. */
  readonly replicas?: number;
}

/** The budget of one process, without coordination. */
export class LocalBudget implements Budget {
  readonly #options: LocalBudgetOptions;
  readonly #windows: readonly SpreadWindow[];
  readonly #forecast: Forecast;
  readonly #clock: Clock;
  readonly #horizonMs: number;
  readonly #rules: PermitRules;
  /** Sends have been granted up to this time. */
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
    // #grant has advanced the windows.
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
      if (waitMs > 0) at += Math.max(waitMs, WINDOW_CONSTANTS.minStepMs);
      else {
        permits.push(this.#permit(at));
        // As in the script, where no two sends share a time.
        at += WINDOW_CONSTANTS.minStepMs;
      }
    }
    return { permits, waitMs: Math.max(0, at - last) };
  }

  #waitMs(at: number): number {
    return Math.max(this.#options.gate.closedMs(at), ...this.#windows.map((window) => window.waitMs(at)));
  }

  #permit(at: number): Permit {
    for (const window of this.#windows) window.consume(at);
    this.#forecast.onSend();
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

  #close(forMs: number, reason: ClosingReason, retryAfterMs: number | undefined): void {
    if (!(forMs > 0)) return;
    const { gate, replicas = 1 } = this.#options;
    gate.close(forMs, reason, retryAfterMs);
    for (const window of this.#windows) window.closeUntil(gate.closedUntil, 1 / replicas);
    this.#forecast.invalidate();
  }

  onRateLimited(retryAfterMs: number | undefined): void {
    const { gate, windows } = this.#options;
    const isFirst = gate.closedMs() === 0;
    const reaction = rateLimitReaction(windows, gate, retryAfterMs);
    this.#close(isFirst ? reaction.closeMs : reaction.extendMs, 429, retryAfterMs);
    if (!isFirst) return;
    windows[reaction.window]?.window.decrease(gate.closedUntil);
    this.#reportLimits();
  }

  #reportLimits(): void {
    this.#options.report?.update(limitsInUse(this.#options.windows));
  }

  /** The usable part of each limit. */
  get shares(): number[] {
    return this.#windows.map(({ share }) => share);
  }

  state(): BudgetState {
    const { windows, gate, mode = 'local' } = this.#options;
    const now = this.#clock.now();
    return { mode, windows: windowStates(windows, now), closedMs: gate.closedMs(now) };
  }
}
