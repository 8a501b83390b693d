import type { Budget, BudgetMode, BudgetState, Permit, WindowState } from './budget.ts';
import { Forecast } from './forecast.ts';
import type { Gate } from './gate.ts';
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
  }));
}

export interface LocalBudgetOptions {
  readonly mode?: BudgetMode;
  readonly windows: readonly NamedWindow[];
  readonly gate: Gate;
  readonly latenessMs: number;
}

/** The budget of one process that asks nobody else. */
export class LocalBudget implements Budget {
  readonly #options: LocalBudgetOptions;
  readonly #windows: readonly SpreadWindow[];
  readonly #forecast: Forecast;
  /** When the next send was last said to be due. */
  #dueAt = Infinity;

  /** @param clock milliseconds that never go back */
  constructor(
    options: LocalBudgetOptions,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.#options = options;
    this.#windows = options.windows.map(({ window }) => window);
    this.#forecast = new Forecast(() => ({ windows: this.#windows, opensAt: options.gate.closedUntil }));
  }

  ask(): Promise<Permit | number> {
    const now = this.clock();
    const lateMs = now - this.#dueAt;
    let at = lateMs >= 0 && lateMs <= this.#options.latenessMs ? this.#dueAt : now;
    // From the due time the arithmetic goes on step by step, as it would have if the timer had been in time.
    for (let waitMs = this.#waitMs(at); waitMs > 0; waitMs = this.#waitMs(at)) {
      at += Math.max(waitMs, LEAST_STEP_MS);
      if (at <= now) continue;
      this.#dueAt = at;
      return Promise.resolve(at - now);
    }
    return this.#go(at);
  }

  #waitMs(at: number): number {
    return Math.max(this.#options.gate.closedMs(at), ...this.#windows.map((window) => window.wait(at)));
  }

  #go(at: number): Promise<Permit> {
    for (const window of this.#windows) window.take(at);
    this.#forecast.sent();
    this.#dueAt = Infinity;
    const sent = (): void => {
      const now = this.clock();
      if (now - at <= this.#options.latenessMs + TOLERATED_LAG_MS) return;
      for (const window of this.#windows) window.postpone(at, now);
    };
    return Promise.resolve({ sent });
  }

  forecastMs(nth: number): number {
    return this.#forecast.forecastMs(nth, this.clock());
  }

  close(forMs: number): void {
    if (forMs <= 0) return;
    const { gate } = this.#options;
    gate.close(this.clock(), forMs);
    for (const window of this.#windows) window.closeUntil(gate.closedUntil);
    this.#forecast.forget();
  }

  refused(retryAfterMs: number | undefined): void {
    const { gate } = this.#options;
    const now = this.clock();
    const first = gate.closedMs(now) === 0;
    // A refusal without a word, while another has closed the gate, says nothing new.
    if (first || retryAfterMs !== undefined) this.close(retryAfterMs ?? gate.backoffMs(now));
    if (first) for (const window of this.#windows) window.cut(gate.closedUntil);
  }

  /** The part of each limit that is in use. */
  get shares(): number[] {
    return this.#windows.map(({ share }) => share);
  }

  state(): BudgetState {
    const { windows, gate, mode = 'local' } = this.#options;
    const now = this.clock();
    return { mode, windows: statesOf(windows, now), closedMs: gate.closedMs(now) };
  }
}
