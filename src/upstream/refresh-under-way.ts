import { type Clock, systemClock } from '../clock.ts';
import { CallerGone } from '../errors/caller-gone.ts';
import type { ReadResult, Progress } from './exchange.ts';

/** A reader waits when the turn is expected in this part of its waiting: the rest is for the call, and for what a forecast is worth. */
const SURE_PART = 0.5;
/** A turn that is so much later than expected, in milliseconds, is not waited for any longer. */
const OVERDUE_MS = 100;

/** The refresh of one copy, which goes on whether anyone waits for it or not. */
export class RefreshUnderWay {
  readonly #found: Promise<ReadResult>;
  /** When its call is to be expected, on the clock; nothing any more once it has gone out. */
  #expectedAt: number | undefined;
  /** Those who are to look anew when that changes. */
  readonly #waiting = new Set<() => void>();

  constructor(
    begin: (progress: Progress) => Promise<ReadResult>,
    private readonly clock: Clock = systemClock,
  ) {
    this.#expectedAt = clock.now();
    this.#found = begin({
      // What is known of the gate and of the queue holds both: the later counts.
      onExpectedWait: (waitMs) => {
        this.#expect(Math.max(this.#expectedAt ?? 0, this.clock.now() + waitMs));
      },
      onSent: () => {
        this.#expect(undefined);
      },
    });
    // Whoever waits is told; when nobody does, it interests nobody.
    this.#found.catch(() => undefined);
  }

  /** Whether it is known that so many milliseconds will not do. */
  isLateFor(waitMs: number): boolean {
    return this.#isLate(this.clock.now() + waitMs * SURE_PART);
  }

  /**
   * What is found within so many milliseconds; nothing as soon as it is known that it will not be.
   * @throws what the refresh throws; `CallerGone` when the signal aborts
   */
  async within(waitMs: number, signal: AbortSignal): Promise<ReadResult | undefined> {
    const { promise: ended, resolve, reject } = Promise.withResolvers<undefined>();
    const now = this.clock.now();
    const [latest, end] = [now + waitMs * SURE_PART, now + waitMs];
    let cancel: (() => void) | undefined;
    const look = (): void => {
      cancel?.();
      if (this.#isLate(latest) || this.clock.now() >= end) resolve(undefined);
      else cancel = this.clock.after(Math.min(end, this.#overdueAt) - this.clock.now() + 1, look);
    };
    const gone = (): void => {
      reject(new CallerGone());
    };
    signal.addEventListener('abort', gone, { once: true });
    this.#waiting.add(look);
    look();
    try {
      return await Promise.race([this.#found, ended]);
    } finally {
      cancel?.();
      this.#waiting.delete(look);
      signal.removeEventListener('abort', gone);
    }
  }

  #expect(at: number | undefined): void {
    this.#expectedAt = at;
    for (const look of this.#waiting) look();
  }

  get #overdueAt(): number {
    return (this.#expectedAt ?? Infinity) + OVERDUE_MS;
  }

  #isLate(latest: number): boolean {
    return (this.#expectedAt ?? 0) > latest || this.#overdueAt < this.clock.now();
  }
}
