import { type Clock, systemClock } from '../clock.ts';
import type { Budget, Permit } from '../budget/budget.ts';
import { Wakeup } from './wakeup.ts';

/** Most permits that are held at a time. */
const MOST_HELD = 64;
/** Longest time between two requests, in milliseconds: meanwhile a limit may recover, or the budget change its mode. */
const LONGEST_PAUSE_MS = 1000;

/** How many permits could be used now. */
export interface Demand {
  /** Slots that wait for a permit. */
  readonly slots: number;
  /** Queued reads. */
  readonly waiting: number;
}

/**
 * Permits that the budget has granted and whose moments have not come. More are asked for while some are waited for, so
 * that the round trip to the budget delays no read. One caller at a time may wait for `next`.
 */
export class PermitQueue {
  #permits: Permit[] = [];
  #isAsking = false;
  /** When the budget may be asked again. */
  #askAt = -Infinity;
  /** When the budget expects to have the next permit. */
  #expectedAt = -Infinity;
  #fault: { readonly error: unknown } | undefined;
  /** There is an answer, or more demand. */
  readonly #changed = new Wakeup();

  constructor(
    private readonly budget: Pick<Budget, 'tryAcquire'>,
    private readonly demand: () => Demand,
    private readonly clock: Clock = systemClock,
  ) {}

  /**
   * The next permit, at its moment.
   * @returns instead, when there is none, in how many milliseconds the budget expects to have one
   * @throws errors of the budget
   */
  async next(): Promise<Permit | number> {
    for (;;) {
      this.#ask();
      const now = this.clock.now();
      const permit = this.#first();
      if (permit && permit.at <= now) {
        this.#permits.shift();
        return permit;
      }
      if (this.#fault) this.#throw(this.#fault.error);
      if (!permit && !this.#isAsking) return Math.max(0, this.#expectedAt - now);
      const asksIn = this.#isAsking || this.#missing <= 0 ? Infinity : this.#askAt - now;
      const waitMs = Math.min(permit ? permit.at - now : Infinity, asksIn);
      await this.#changed.wait(Math.ceil(waitMs), this.clock);
    }
  }

  /** There are more slots or reads: the permits for them are asked for at once. */
  onDemandGrew(): void {
    this.#changed.notify();
  }

  /** Releases all permits: no read needs them. */
  releaseAll(): void {
    for (const permit of this.#permits.splice(0)) permit.release();
  }

  get #missing(): number {
    const { slots, waiting } = this.demand();
    return Math.min(slots, waiting, MOST_HELD) - this.#permits.length;
  }

  #first(): Permit | undefined {
    while (this.#permits[0]?.isValid() === false) this.#permits.shift()?.release();
    return this.#permits[0];
  }

  #throw(error: unknown): never {
    this.#fault = undefined;
    throw error;
  }

  #ask(): void {
    const count = this.#missing;
    if (this.#isAsking || count <= 0 || this.clock.now() < this.#askAt) return;
    this.#isAsking = true;
    this.budget
      .tryAcquire(count, this.demand().waiting)
      .then(({ permits, waitMs }) => {
        this.#permits.push(...permits);
        const now = this.clock.now();
        this.#askAt = now + Math.min(waitMs, LONGEST_PAUSE_MS);
        this.#expectedAt = now + waitMs;
      })
      .catch((error: unknown) => {
        this.#fault = { error };
      })
      .finally(() => {
        this.#isAsking = false;
        this.#changed.notify();
      });
  }
}
