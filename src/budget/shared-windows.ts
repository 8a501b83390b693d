import type { Reply } from './budget-store.ts';
import type { Ledger } from './ledger.ts';
import type { NamedWindow } from './local-budget.ts';
import type { SpreadWindow } from './window.ts';
import { boundProgress, type WindowProgress } from './window-progress.ts';

/** The windows as of the last reply of the store, on the local clock. Times in milliseconds. */
export class SharedWindows {
  /** Progress of each window in the last reply; empty before the first one. */
  #progress: readonly WindowProgress[] = [];
  /** Built from that and from the ledger on demand. */
  #windows: readonly SpreadWindow[] | undefined;

  /** @param windows give the size of each window */
  constructor(
    private readonly windows: readonly NamedWindow[],
    private readonly ledger: Ledger,
  ) {}

  /** Whether the store has replied. */
  get isKnown(): boolean {
    return this.#progress.length > 0;
  }

  /** The usable part of each limit. */
  get shares(): number[] {
    return this.windows.map((_, index) => this.#progress[index]?.share ?? 1);
  }

  /**
   * @param storeNow time of the reply
   * @param latest upper bound of times in the reply, unless `opensAt`, when the gate opens, is later
   */
  update(replied: Reply['windows'], storeNow: number, latest: number, opensAt: number): void {
    this.#progress = this.windows.map(({ window }, index) => {
      const { credit = 0, accruedAgo = 0, share = 1, recoversIn = Infinity } = replied[index] ?? {};
      const progress = { credit, accruedTo: storeNow - accruedAgo, share, recoversAt: storeNow + recoversIn };
      return boundProgress(progress, window, latest, opensAt);
    });
  }

  /** The ledger or the progress has changed. */
  onChanged(): void {
    this.#windows = undefined;
  }

  at(now: number): readonly SpreadWindow[] {
    this.#windows ??= this.windows.map(({ limit, window }, index) => {
      const progress = this.#progress[index];
      if (!progress) return window.clone();
      const { times, blockSize } = this.ledger.blocks({ limit, spanMs: window.spanMs }, now);
      return window.withProgress(progress, times, blockSize);
    });
    return this.#windows;
  }
}
