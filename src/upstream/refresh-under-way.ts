import { CallerGone } from '../errors/caller-gone.ts';
import type { Found } from './exchange.ts';

/** A reader waits when the turn is expected in this part of its waiting: the rest is for the call, and for what a forecast is worth. */
const SURE_PART = 0.5;

/** The refresh of one copy, which goes on whether anyone waits for it or not. */
export class RefreshUnderWay {
  readonly #found: Promise<Found>;
  /** When its call is to be expected, on the clock of `performance.now()`. */
  #expectedAt = 0;
  /** Those who are to hear when that is late. */
  readonly #waiting = new Set<() => void>();

  /** @param begin is handed what is to be told in how many milliseconds the call is to be expected */
  constructor(begin: (onExpected: (waitMs: number) => void) => Promise<Found>) {
    this.#found = begin((waitMs) => {
      this.#expectedAt = performance.now() + waitMs;
      for (const look of this.#waiting) look();
    });
    // Whoever waits is told; when nobody does, it interests nobody.
    this.#found.catch(() => undefined);
  }

  /**
   * What is found within so many milliseconds; nothing as soon as it is known that it will not be.
   * @throws what the refresh throws; `CallerGone` when the signal aborts
   */
  async within(waitMs: number, signal: AbortSignal): Promise<Found | undefined> {
    const { promise: ended, resolve, reject } = Promise.withResolvers<undefined>();
    const latest = performance.now() + waitMs * SURE_PART;
    const look = (): void => {
      if (this.#expectedAt > latest) resolve(undefined);
    };
    const gone = (): void => {
      reject(new CallerGone());
    };
    const timer = setTimeout(resolve, waitMs, undefined);
    signal.addEventListener('abort', gone, { once: true });
    this.#waiting.add(look);
    look();
    try {
      return await Promise.race([this.#found, ended]);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
      signal.removeEventListener('abort', gone);
    }
  }
}
