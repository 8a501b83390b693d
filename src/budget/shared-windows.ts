import type { Reply } from './budget-store.ts';
import type { Ledger } from './ledger.ts';
import type { NamedWindow } from './local-budget.ts';
import type { SpreadWindow } from './window.ts';
import { boundProgress, type WindowProgress } from './window-progress.ts';

/** The windows as the store had them when it answered last, on the clock of this process. Times in milliseconds. */
export class SharedWindows {
  /** Of each window; none before the first answer. */
  #progress: readonly WindowProgress[] = [];
  /** Made of it, and of the sends that are known, when they are looked at. */
  #made: readonly SpreadWindow[] | undefined;

  /** @param windows their sizes */
  constructor(
    private readonly windows: readonly NamedWindow[],
    private readonly ledger: Ledger,
  ) {}

  /** Whether the store has said how they stand. */
  get isKnown(): boolean {
    return this.#progress.length > 0;
  }

  /** The part of each limit that is in use. */
  get shares(): number[] {
    return this.windows.map((_, index) => this.#progress[index]?.share ?? 1);
  }

  /**
   * @param storeNow when the store said so
   * @param latest no time that it can have said lies after this one, or after `opensAt`, when the gate opens
   */
  update(told: Reply['windows'], storeNow: number, latest: number, opensAt: number): void {
    this.#progress = this.windows.map(({ window }, index) => {
      const { credit = 0, accruedAgo = 0, share = 1, recoversIn = Infinity } = told[index] ?? {};
      const progress = { credit, accruedTo: storeNow - accruedAgo, share, recoversAt: storeNow + recoversIn };
      return boundProgress(progress, window, latest, opensAt);
    });
  }

  /** The sends that are known have changed, or how the windows stand. */
  changed(): void {
    this.#made = undefined;
  }

  at(now: number): readonly SpreadWindow[] {
    this.#made ??= this.windows.map(({ limit, window }, index) => {
      const progress = this.#progress[index];
      if (!progress) return window.clone();
      const { times, blockSize } = this.ledger.blocks({ limit, spanMs: window.spanMs }, now);
      return window.at(progress, times, blockSize);
    });
    return this.#made;
  }
}
