import type { Budget, BudgetState } from './budget.ts';
import type { Gate } from './gate.ts';
import { type Ledger, partOf } from './ledger.ts';
import { LocalBudget, type NamedWindow, statesOf } from './local-budget.ts';
import type { SharedBudget } from './shared-budget.ts';

/** How often the shared budget is looked at: what the others do, and whether it is there again. In milliseconds. */
const LOOK_EVERY_MS = 250;
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
  readonly onMode: (mode: 'shared' | 'fallback', reason?: unknown) => void;
}

/**
 * The shared budget while Redis answers; while it does not, this replica's part of the limits in process, which starts from
 * what is known of everyone's sends, without credit. It goes on at once, and returns by itself.
 */
export class FailoverBudget implements Budget {
  readonly #options: FailoverBudgetOptions;
  #local: LocalBudget | undefined;
  #waiting = 0;
  #looking = false;
  readonly #timer: NodeJS.Timeout;

  constructor(options: FailoverBudgetOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      if (!this.#looking) void this.look();
    }, LOOK_EVERY_MS);
    this.#timer.unref();
  }

  async ask(waiting: number): Promise<number> {
    this.#waiting = waiting;
    const { gate, shared } = this.#options;
    // Whoever closed it: nothing is asked for that cannot be.
    const closedMs = gate.closedMs(performance.now());
    if (closedMs > 0) return closedMs;
    if (!this.#local) {
      try {
        return await shared.ask();
      } catch (error) {
        if (!this.#options.isAway(error)) return ASK_AGAIN_MS;
        this.#fallBack(error);
      }
    }
    return this.#askOwn();
  }

  async #askOwn(): Promise<number> {
    const waitMs = (await this.#local?.ask()) ?? ASK_AGAIN_MS;
    if (waitMs <= 0) this.#options.shared.sentAs();
    return waitMs;
  }

  /** Looks at the shared budget, and returns to it if it was away. Never rejects. */
  async look(): Promise<void> {
    this.#looking = true;
    try {
      await this.#options.shared.look(this.#waiting);
      if (this.#local) this.#options.onMode('shared');
      this.#local = undefined;
    } catch (error) {
      if (this.#options.isAway(error)) this.#fallBack(error);
    } finally {
      this.#looking = false;
    }
  }

  end(): void {
    clearInterval(this.#timer);
  }

  forecastMs(nth: number): number {
    return (this.#local ?? this.#options.shared).forecastMs(nth);
  }

  close(forMs: number): void {
    this.#options.gate.close(performance.now(), forMs);
    if (this.#local) this.#local.close(forMs);
    else this.#say(this.#options.shared.close(forMs));
  }

  refused(retryAfterMs: number | undefined): void {
    if (this.#local) {
      this.#local.refused(retryAfterMs);
      return;
    }
    const { gate, shared } = this.#options;
    const now = performance.now();
    const forMs = retryAfterMs ?? (gate.closedMs(now) > 0 ? 0 : gate.backoffMs(now));
    // Before anything else can be sent from here; the others learn of it with their next question.
    gate.close(now, forMs);
    this.#say(shared.refused(forMs, retryAfterMs !== undefined));
  }

  state(): BudgetState {
    if (this.#local) return this.#local.state();
    const now = performance.now();
    const { windows, gate, shared } = this.#options;
    const progressed = shared.windows();
    const states = statesOf(
      windows.map((named, index) => ({ ...named, window: progressed[index] ?? named.window })),
      now,
    );
    return { mode: 'shared', windows: states, closedMs: gate.closedMs(now) };
  }

  /** The gate is closed here already: what the store did not hear it is told when it is back. */
  #say(said: Promise<void>): void {
    said.catch((error: unknown) => {
      if (this.#options.isAway(error)) this.#fallBack(error);
    });
  }

  #fallBack(reason: unknown): void {
    if (this.#local) return;
    const { shared, ledger, replicas, gate, latenessMs, ownPart } = this.#options;
    const now = performance.now();
    const { shares } = shared;
    const known = partOf(ledger.times(now), replicas);
    const windows = ownPart().map((named, index) => {
      const { window } = named;
      const share = shares[index] ?? 1;
      const recoversAt = share < 1 ? now + window.spanMs : Infinity;
      const accruedTo = Math.max(now, gate.closedUntil);
      const sends = known.filter((at) => at > now - window.spanMs);
      return { ...named, window: window.at({ credit: 0, accruedTo, share, recoversAt }, sends) };
    });
    this.#local = new LocalBudget({ mode: 'fallback', windows, gate, latenessMs });
    this.#options.onMode('fallback', reason);
  }
}
