import type { BudgetObserver, LimitInUse } from './budget-observer.ts';

/** Reports each change of a limit's usable share once. */
export class LimitReport {
  readonly #shares = new Map<string, number>();

  constructor(private readonly observer: Pick<BudgetObserver, 'limitLowered' | 'limitRaised'> | undefined) {}

  update(limits: Iterable<LimitInUse>): void {
    for (const limit of limits) {
      const former = this.#shares.get(limit.window) ?? 1;
      this.#shares.set(limit.window, limit.share);
      if (limit.share < former) this.observer?.limitLowered(limit);
      else if (limit.share > former) this.observer?.limitRaised(limit);
    }
  }
}
