import { type Clock, systemClock } from '../clock.ts';
import type { Budget, Permit } from '../budget/budget.ts';

/** Most permits that are held. */
const MOST_HELD = 64;

/** What is wanted of the budget now. */
export interface Demand {
  /** How many slots are free for permits. */
  readonly slots: number;
  /** How many reads wait. */
  readonly waiting: number;
}

/**
 * The permits that the budget has granted and whose moments have not come. While some are waited for, more are asked for, so
 * that the distance of the budget holds up none. One at a time waits for the next.
 */
export class PermitQueue {
  #permits: Permit[] = [];
  #isAsking = false;
  /** When it may be asked again. */
  #askAt = -Infinity;
  #fault: { readonly error: unknown } | undefined;
  /** Ends a wait before its time. */
  #wake = (): void => undefined;

  constructor(
    private readonly budget: Pick<Budget, 'tryAcquire'>,
    private readonly demand: () => Demand,
    private readonly clock: Clock = systemClock,
  ) {}

  /** The next permit, at its moment; or in how many milliseconds the budget is to be asked again. @throws what the budget throws */
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
      const asksIn = this.#isAsking || this.#wants <= 0 ? Infinity : this.#askAt - now;
      if (!permit && !this.#isAsking) return Math.max(0, this.#askAt - now);
      await this.#wait(Math.min(permit ? permit.at - now : Infinity, asksIn));
    }
  }

  /** There are more slots or reads: what that takes is asked for at once. */
  onDemandGrew(): void {
    this.#wake();
  }

  /** Nobody needs them any more. */
  giveBack(): void {
    for (const permit of this.#permits.splice(0)) permit.release();
  }

  get #wants(): number {
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
    const count = this.#wants;
    if (this.#isAsking || count <= 0 || this.clock.now() < this.#askAt) return;
    this.#isAsking = true;
    this.budget
      .tryAcquire(count, this.demand().waiting)
      .then(({ permits, waitMs }) => {
        this.#permits.push(...permits);
        this.#askAt = this.clock.now() + waitMs;
      })
      .catch((error: unknown) => {
        this.#fault = { error };
      })
      .finally(() => {
        this.#isAsking = false;
        this.#wake();
      });
  }

  /** Until an answer comes, or so many milliseconds have passed. */
  #wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const end = (): void => {
      resolve(undefined);
    };
    const cancel = ms < Infinity ? this.clock.after(Math.ceil(ms), end) : (): void => undefined;
    this.#wake = () => {
      cancel();
      end();
    };
    return promise;
  }
}
