import { type Clock, systemClock } from '../clock.ts';
import type { ClosingReason, GateObserver } from './budget-observer.ts';

/** The first wait after a refusal that does not say how long, and its longest. In milliseconds. */
const FIRST_BACKOFF_MS = 1000;
const LONGEST_BACKOFF_MS = 60_000;
const DEFAULT_LONGEST_CLOSING_MS = 3_600_000;
/** A closing that ends later by less is not reported again: calls on the wire together end so. In milliseconds. */
const REPORTED_PROLONGATION_MS = 1000;
/** Replicas hear of one closing with different delays: it is reported as ended when the gate has been open so long. */
const SETTLED_MS = 100;
/** Node's timers take 24 days at most. */
const LONGEST_TIMER_MS = 3_600_000;

export interface GateOptions {
  readonly clock?: Clock;
  /** No closing lasts longer, whatever upstream or the store says. */
  readonly longestClosingMs?: number;
  readonly observer?: GateObserver | undefined;
  readonly random?: () => number;
}

/** Nothing is sent while it is closed. Times in milliseconds on its clock. */
export class Gate {
  readonly longestClosingMs: number;
  readonly #clock: Clock;
  readonly #observer: GateObserver | undefined;
  readonly #random: () => number;
  #closedUntil = -Infinity;
  /** Since when it is closed, as far as it was reported. */
  #closedSince: number | undefined;
  #isShortened = false;
  #cancelReport = (): void => undefined;
  #unexplained = 0;

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
   * Closes it for at most `longestClosingMs` from now. Never shortens a closing.
   * @param saidMs what upstream asked for
   */
  close(forMs: number, reason: ClosingReason, saidMs?: number): void {
    if (!(forMs > 0)) return;
    const now = this.#clock.now();
    // What a replica says just after the end is the same closing, heard late; a refusal is another one.
    if (this.#closedUntil <= now && reason !== 'replica') this.#reportOpened();
    const boundedMs = Math.min(forMs, this.longestClosingMs);
    const prolongedMs = now + boundedMs - Math.max(now, this.#closedUntil);
    this.#closedUntil = Math.max(this.#closedUntil, now + boundedMs);
    if (saidMs !== undefined && saidMs > this.longestClosingMs) this.#reportShortened(saidMs);
    const isFirst = this.#closedSince === undefined;
    if (isFirst || prolongedMs > REPORTED_PROLONGATION_MS) {
      this.#observer?.gateClosed({ forMs: boundedMs, reason, saidMs });
    }
    if (!isFirst) return;
    this.#closedSince = now;
    this.#awaitOpening();
  }

  #reportShortened(saidMs: number): void {
    if (this.#isShortened) return;
    this.#isShortened = true;
    this.#observer?.pauseShortened(saidMs, this.longestClosingMs);
  }

  #awaitOpening(): void {
    const waitMs = Math.min(this.closedMs() + SETTLED_MS, LONGEST_TIMER_MS);
    this.#cancelReport = this.#clock.after(waitMs, () => {
      if (this.#clock.now() < this.#closedUntil + SETTLED_MS) this.#awaitOpening();
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

  /** For a refusal that does not say how long: twice as long each time, with jitter, until a minute has gone well. */
  backoffMs(): number {
    if (this.#clock.now() - this.#closedUntil > LONGEST_BACKOFF_MS) this.#unexplained = 0;
    const most = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#unexplained++);
    return most * (0.5 + this.#random() / 2);
  }
}
