import { type Clock, systemClock } from '../clock.ts';
import type { ClosingReason, GateObserver } from './budget-observer.ts';

/** Shortest and longest backoff after a 429 without Retry-After, in milliseconds. */
const FIRST_BACKOFF_MS = 1000;
const LONGEST_BACKOFF_MS = 60_000;
const DEFAULT_LONGEST_CLOSING_MS = 3_600_000;
/** Smallest extension that is reported: 429s of calls in flight together differ by less. In milliseconds. */
const REPORTED_EXTENSION_MS = 1000;
/** How long the gate is open before that is reported: replicas announce one closing with different delays. */
const SETTLED_MS = 100;
/** Node's timers run for at most 24 days. */
const LONGEST_TIMER_MS = 3_600_000;

export interface GateOptions {
  readonly clock?: Clock;
  /** Longest closing, whatever upstream or the store asks for. */
  readonly longestClosingMs?: number;
  readonly observer?: GateObserver | undefined;
  readonly random?: () => number;
}

/** Blocks all sends while upstream wants none. Times in milliseconds on its clock. */
export class Gate {
  readonly longestClosingMs: number;
  readonly #clock: Clock;
  readonly #observer: GateObserver | undefined;
  readonly #random: () => number;
  #closedUntil = -Infinity;
  /** Start of the closing that was reported; undefined when none is. */
  #closedSince: number | undefined;
  #isShortened = false;
  #cancelReport = (): void => undefined;
  #backoffs = 0;

  constructor({
    clock = systemClock,
    longestClosingMs = DEFAULT_LONGEST_CLOSING_MS,
    observer,
    random = Math.random,
  }: GateOptions = {}) {
    this.longestClosingMs = longestClosingMs;
    this.#clock = clock;
    this.#observer = observer;
    this.#random = random;
  }

  get closedUntil(): number {
    return this.#closedUntil;
  }

  closedMs(at = this.#clock.now()): number {
    return Math.max(0, this.#closedUntil - at);
  }

  /**
   * Closes the gate for at most `longestClosingMs` from now. Never shortens a closing.
   * @param retryAfterMs what upstream asked for
   */
  close(forMs: number, reason: ClosingReason, retryAfterMs?: number): void {
    if (!(forMs > 0)) return;
    const now = this.#clock.now();
    // A replica's message just after the end is about the same closing and late; a 429 or 503 starts another one.
    if (this.#closedUntil <= now && reason !== 'replica') this.#reportOpened();
    const boundedMs = Math.min(forMs, this.longestClosingMs);
    const extendedMs = now + boundedMs - Math.max(now, this.#closedUntil);
    this.#closedUntil = Math.max(this.#closedUntil, now + boundedMs);
    if (retryAfterMs !== undefined && retryAfterMs > this.longestClosingMs)
      this.#reportShortened(retryAfterMs);
    const isFirst = this.#closedSince === undefined;
    if (isFirst || extendedMs > REPORTED_EXTENSION_MS) {
      this.#observer?.gateClosed({ forMs: boundedMs, reason, retryAfterMs });
    }
    if (!isFirst) return;
    this.#closedSince = now;
    this.#scheduleOpened();
  }

  #reportShortened(retryAfterMs: number): void {
    if (this.#isShortened) return;
    this.#isShortened = true;
    this.#observer?.pauseShortened(retryAfterMs, this.longestClosingMs);
  }

  #scheduleOpened(): void {
    const waitMs = Math.min(this.closedMs() + SETTLED_MS, LONGEST_TIMER_MS);
    this.#cancelReport = this.#clock.after(waitMs, () => {
      if (this.#clock.now() < this.#closedUntil + SETTLED_MS) this.#scheduleOpened();
      else this.#reportOpened();
    });
  }

  #reportOpened(): void {
    if (this.#closedSince === undefined) return;
    this.#cancelReport();
    const closedMs = this.#closedUntil - this.#closedSince;
    this.#closedSince = undefined;
    this.#isShortened = false;
    this.#observer?.gateOpened(closedMs);
  }

  /** Backoff after a 429 without Retry-After: doubles each time, with jitter; reset after a minute without closing. */
  backoffMs(): number {
    if (this.#clock.now() - this.#closedUntil > LONGEST_BACKOFF_MS) this.#backoffs = 0;
    const maxMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#backoffs++);
    return maxMs * (0.5 + this.#random() / 2);
  }
}
