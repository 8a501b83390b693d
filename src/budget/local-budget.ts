import { type Clock, systemClock } from '../clock.ts';
import type { Budget, BudgetMode, BudgetState, Permit, WindowState } from './budget.ts';
import type { ClosingReason, LimitInUse } from './budget-observer.ts';
import { Forecast } from './forecast.ts';
import type { Gate } from './gate.ts';
import type { LimitReport } from './limit-report.ts';
import { refusingWindow } from './limit-share.ts';
import { LEAST_STEP_MS, type NamedLimit, type SpreadWindow } from './window.ts';

/**
 * Timers fire a little late. A send that is no later than this after its due time, in milliseconds, is counted as of that
 * time: else each window would begin a little later than the one before, and their sum is lost. What upstream sees is
 * earlier by no more than this against what is counted, which takes at most half of the windows' margin.
 */
const LATENESS_MS = 20;

/** How long after its permit a call may go out and still be counted as of that, in milliseconds. */
export const TOLERATED_LAG_MS = 5;

/** @returns by how much a send may be late and still be counted as of its due time, in milliseconds */
export function toleratedLatenessMs(marginMs: number): number {
  return Math.min(LATENESS_MS, marginMs / 2);
}

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
  /** When the next send was last said to be due. */
  #dueAt = Infinity;

  constructor(options: LocalBudgetOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#windows = options.windows.map(({ window }) => window);
    this.#forecast = new Forecast(() => ({ windows: this.#windows, opensAt: options.gate.closedUntil }));
  }

  ask(): Promise<Permit | number> {
    const answer = this.#admit();
    // The windows have come as far as now.
    this.#reportLimits();
    return Promise.resolve(answer);
  }

  #admit(): Permit | number {
    const now = this.#clock.now();
    const lateMs = now - this.#dueAt;
    let at = lateMs >= 0 && lateMs <= this.#options.latenessMs ? this.#dueAt : now;
    // From the due time the arithmetic goes on step by step, as it would have if the timer had been in time.
    for (let waitMs = this.#waitMs(at); waitMs > 0; waitMs = this.#waitMs(at)) {
      at += Math.max(waitMs, LEAST_STEP_MS);
      if (at <= now) continue;
      this.#dueAt = at;
      return at - now;
    }
    return this.#go(at);
  }

  #waitMs(at: number): number {
    return Math.max(this.#options.gate.closedMs(at), ...this.#windows.map((window) => window.wait(at)));
  }

  #go(at: number): Permit {
    for (const window of this.#windows) window.take(at);
    this.#forecast.sent();
    this.#dueAt = Infinity;
    const sent = (): void => {
      const now = this.#clock.now();
      if (now - at <= this.#options.latenessMs + TOLERATED_LAG_MS) return;
      for (const window of this.#windows) window.postpone(at, now);
    };
    return { sent };
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

  refused(retryAfterMs: number | undefined): void {
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
