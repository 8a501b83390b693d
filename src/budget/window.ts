import { recoveryStepMs, WINDOW_CONSTANTS } from './window-constants.ts';
import type { WindowProgress } from './window-progress.ts';

const { creditTolerance, decreaseFactor, lowestShare, recoveryShare, waitMarginMs } = WINDOW_CONSTANTS;

/**
 * A sliding window of at most `limit` sends in any `spanMs`, spread evenly. A bucket of `burst` credits lets an idle
 * gateway burst. Credit accrues at the rate that spends the rest of the window evenly until its oldest send leaves:
 *
 *     rate = min( limit / span, (limit - n + 1) / (oldest + span - now) )      n = sends in the last span
 *
 * (+ 1 for the slot that frees when the oldest send leaves, or the size of the block that leaves then.) After a burst
 * the pace is even and slower at once, instead of stalling when the window is full; under saturation it settles at
 * limit / span. Nothing is sent while n = limit, so the limit holds whatever the credit. All times in milliseconds on
 * one clock.
 */
export class SpreadWindow {
  #credit: number;
  #accruedTo = 0;
  /** The usable part of the limit: less than 1 after a 429. */
  #share = 1;
  #recoversAt = Infinity;
  #sends: number[] = [];
  #head = 0;
  /** Number of the oldest entries that are blocks of sends (send-blocks.ts), which leave as a whole. */
  #blocks = 0;
  #blockSize = 1;

  constructor(
    readonly fullLimit: number,
    readonly spanMs: number,
    readonly burst: number,
  ) {
    this.#credit = burst;
  }

  /** 0: a send is allowed now. Otherwise the earliest time to ask again, in milliseconds from now. */
  waitMs(now: number): number {
    this.#advance(now);
    const leaves = this.#oldestLeaves - now;
    if (this.count >= this.limit) return leaves + waitMarginMs;
    if (this.#credit >= 1 - creditTolerance) return 0;
    // After a closing, credit accrues only from `accruedTo` on: one step covers both waits.
    const accruesMs = Math.max(0, this.#accruedTo - now) + (1 - this.#credit) / this.#rate(now);
    return Math.min(accruesMs, leaves) + waitMarginMs;
  }

  /**
   * Estimated time for more sends: those with credit at once, then slowly until the oldest send leaves, then evenly.
   */
  estimateMs(sends: number, now: number): number {
    this.#advance(now);
    const atOnce = Math.min(sends, Math.max(0, this.#credit), Math.max(0, this.limit - this.count));
    const [paced, even] = [sends - atOnce, this.limit / this.spanMs];
    const rate = this.#rate(now, this.count + atOnce);
    if (rate >= even) return paced / even;
    const leavesMs = this.#oldestLeaves - now;
    const before = rate * leavesMs;
    return paced <= before ? paced / rate : leavesMs + (paced - before) / even;
  }

  /** Counts a send. */
  consume(now: number): void {
    this.#credit -= 1;
    this.#sends.push(now);
  }

  /** Uncounts a send that was not made. Its credit is not restored. @returns false when it had left the window */
  remove(time: number): boolean {
    const at = this.#sends.lastIndexOf(time);
    if (at < this.#head + this.#blocks) return false;
    this.#sends.splice(at, 1);
    return true;
  }

  /** Moves a counted send to a later time. */
  postpone(from: number, to: number): void {
    if (!this.remove(from)) return;
    let index = this.#sends.length;
    while (index > this.#head + this.#blocks && (this.#sends[index - 1] ?? 0) > to) index--;
    this.#sends.splice(index, 0, to);
  }

  /**
   * After a closing one call is allowed at once, then the pace is even.
   * @param credit less than 1 when several uncoordinated windows reopen together
   */
  closeUntil(time: number, credit = 1): void {
    this.#credit = credit;
    this.#accruedTo = Math.max(this.#accruedTo, time);
  }

  /** Decreases the limit after a 429. It recovers in steps, counted from `time`. */
  decrease(time: number): void {
    this.#share = Math.max(lowestShare, this.#share * decreaseFactor);
    this.#recoversAt = time + recoveryStepMs(this.spanMs);
  }

  /** The usable part of the limit, 0 to 1. */
  get share(): number {
    return this.#share;
  }

  /** The limit in effect, at least 1. */
  get limit(): number {
    return Math.max(1, Math.floor(this.fullLimit * this.#share));
  }

  /** Sends in the last span, as of the latest time passed to any method. */
  get count(): number {
    return this.#sends.length - this.#head + this.#blocks * (this.#blockSize - 1);
  }

  /** Sends still allowed in this span. */
  remaining(now: number): number {
    this.#advance(now);
    return Math.max(0, this.limit - this.count);
  }

  /** Time until the oldest send leaves, in milliseconds. */
  resetMs(now: number): number {
    this.#advance(now);
    return this.count === 0 ? 0 : this.#oldestLeaves - now;
  }

  /** An independent copy, for simulations. */
  clone(): SpreadWindow {
    const progress = {
      credit: this.#credit,
      accruedTo: this.#accruedTo,
      share: this.#share,
      recoversAt: this.#recoversAt,
    };
    const copy = this.withProgress(progress, this.#sends.slice(this.#head), this.#blockSize);
    copy.#blocks = this.#blocks;
    return copy;
  }

  /**
   * A window of the same size in another state.
   * @param sends times, oldest first; of blocks when `blockSize` is more than 1
   */
  withProgress(
    { credit, accruedTo, share, recoversAt }: WindowProgress,
    sends: number[],
    blockSize = 1,
  ): SpreadWindow {
    const window = new SpreadWindow(this.fullLimit, this.spanMs, this.burst);
    window.#credit = credit;
    window.#accruedTo = accruedTo;
    window.#share = share;
    window.#recoversAt = recoversAt;
    window.#sends = sends;
    window.#blockSize = blockSize;
    window.#blocks = blockSize > 1 ? sends.length : 0;
    return window;
  }

  get #oldestLeaves(): number {
    return (this.#sends[this.#head] ?? Infinity) + this.spanMs;
  }

  #rate(now: number, count = this.count): number {
    const even = this.limit / this.spanMs;
    if (this.count === 0) return even;
    const freed = this.#blocks > 0 ? this.#blockSize : 1;
    return Math.max(0, Math.min(even, (this.limit - count + freed) / (this.#oldestLeaves - now)));
  }

  /**
   * Accrues credit up to `now`, piecewise between the times at which the rate changes. However long the gap, those are
   * the sends that leave the window and at most 19 recovery steps.
   */
  #advance(now: number): void {
    for (;;) {
      const until = Math.min(now, this.#oldestLeaves, this.#recoversAt);
      if (until > this.#accruedTo) {
        const gained = this.#rate(this.#accruedTo) * (until - this.#accruedTo);
        this.#credit = Math.min(Math.max(1, this.burst * this.#share), this.#credit + gained);
        this.#accruedTo = until;
      }
      if (this.#oldestLeaves <= now && this.#oldestLeaves <= this.#recoversAt) this.#dropOldest();
      else if (this.#recoversAt <= now) this.#recover();
      else return;
    }
  }

  #dropOldest(): void {
    this.#head++;
    this.#blocks = Math.max(0, this.#blocks - 1);
    if (this.#head < 1024 || this.#head * 2 < this.#sends.length) return;
    this.#sends = this.#sends.slice(this.#head);
    this.#head = 0;
  }

  #recover(): void {
    this.#share = Math.min(1, this.#share + recoveryShare);
    this.#recoversAt = this.#share < 1 ? this.#recoversAt + recoveryStepMs(this.spanMs) : Infinity;
  }
}

/** A limit as upstream counts it. */
export interface Limit {
  readonly limit: number;
  readonly windowMs: number;
}

/** A limit named as in the settings: `1m`. */
export interface NamedLimit extends Limit {
  readonly name: string;
}

/**
 * Creates the windows for limits, shortest first. The burst of the shortest is half of its limit; that of a longer one
 * is the whole limit of the shortest, at most half of its own.
 * @param marginMs added to each window, or 0.5 % if that is more: the gateway counts calls when it sends them, upstream
 *   when they arrive, and jitter can squeeze more calls into upstream's window
 * @param replicas number of replicas that split the limits
 */
export function spreadWindows<L extends Limit>(
  limits: readonly L[],
  marginMs: number,
  replicas = 1,
): (L & { readonly window: SpreadWindow })[] {
  const part = ({ limit }: Limit): number => Math.max(1, Math.floor(limit / replicas));
  const shortest = limits[0] ? part(limits[0]) : 0;
  return limits.map((limit, index) => {
    const fullLimit = part(limit);
    const burst = index === 0 ? fullLimit / 2 : Math.min(fullLimit / 2, shortest);
    const spanMs = limit.windowMs + Math.max(marginMs, limit.windowMs * 0.005);
    return { ...limit, window: new SpreadWindow(fullLimit, spanMs, Math.max(1, burst)) };
  });
}
