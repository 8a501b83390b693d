import { loweredShare, raisedShare, recoveryStepMs } from './limit-share.ts';
import type { WindowProgress } from './window-progress.ts';

/** Rounding must not turn "now" into "in a moment", nor a moment into "now". In sends, and in milliseconds. */
const SLACK = 1e-9;
const MOMENT = 1e-6;
/** Who steps from answer to answer steps no less, in milliseconds: less is lost on a clock that has run for months. */
export const LEAST_STEP_MS = 1e-3;

/**
 * At most `limit` sends in any `spanMs`, spread: a bucket of `burst` credits lets an idle gateway burst, and credit accrues
 * at the rate at which what is left of the window can be spent evenly until its oldest send leaves it:
 *
 *     rate = min( limit / span, (limit - n + 1) / (oldest + span - now) )      n = sends in the last span
 *
 * (+ 1: the slot that frees when the oldest leaves, or as many as leave with it.) A burst is paid back at once by a slower, even pace instead of by
 * a stall when the window is full; under saturation the pace settles at limit / span. Nothing is sent while n = limit,
 * so no window can exceed it whatever the credit says. All times in milliseconds on one clock.
 */
export class SpreadWindow {
  #credit: number;
  #accruedTo = 0;
  /** The part of the limit that is used, after a cut. */
  #share = 1;
  #recoversAt = Infinity;
  #sends: number[] = [];
  #head = 0;
  /** So many of the oldest are not one send each, but a block of them (send-blocks.ts), which leaves as a whole. */
  #blocks = 0;
  #blockSize = 1;

  constructor(
    readonly fullLimit: number,
    readonly spanMs: number,
    readonly burst: number,
  ) {
    this.#credit = burst;
  }

  /** 0: one may be sent now. Otherwise ask again no earlier than this many milliseconds from now. */
  wait(now: number): number {
    this.#advance(now);
    const leaves = this.#oldestLeaves - now;
    if (this.count >= this.limit) return leaves + MOMENT;
    if (this.#credit >= 1 - SLACK) return 0;
    // Credit that accrues only from a later time on is waited for in one step.
    const accruesMs = Math.max(0, this.#accruedTo - now) + (1 - this.#credit) / this.#rate(now);
    return Math.min(accruesMs, leaves) + MOMENT;
  }

  /** About how long so many more sends take: at once for what credit there is, then slowly until the oldest leaves, then evenly. */
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

  take(now: number): void {
    this.#credit -= 1;
    this.#sends.push(now);
  }

  /** A send that was counted did not go. Its credit is not given back: it accrues anew. @returns false: it has left the window */
  remove(time: number): boolean {
    const at = this.#sends.lastIndexOf(time);
    if (at < this.#head + this.#blocks) return false;
    this.#sends.splice(at, 1);
    return true;
  }

  /** A send that was counted as of one time has gone at a later one. */
  postpone(from: number, to: number): void {
    if (!this.remove(from)) return;
    let place = this.#sends.length;
    while (place > this.#head + this.#blocks && (this.#sends[place - 1] ?? 0) > to) place--;
    this.#sends.splice(place, 0, to);
  }

  /**
   * After a closing one call may go at once, and the pace is even from then on.
   * @param credit less than 1 where several windows that know nothing of each other reopen together
   */
  closeUntil(time: number, credit = 1): void {
    this.#credit = credit;
    this.#accruedTo = Math.max(this.#accruedTo, time);
  }

  /** Lowers the limit. It recovers from `time` on, step by step. */
  cut(time: number): void {
    this.#share = loweredShare(this.#share);
    this.#recoversAt = time + recoveryStepMs(this.spanMs);
  }

  /** The part of the limit that is in use. */
  get share(): number {
    return this.#share;
  }

  /** The limit in force, at least 1. */
  get limit(): number {
    return Math.max(1, Math.floor(this.fullLimit * this.#share));
  }

  /** Sends in the last span, as of the last time that was asked about. */
  get count(): number {
    return this.#sends.length - this.#head + this.#blocks * (this.#blockSize - 1);
  }

  /** Sends that it would still take in this span. */
  remaining(now: number): number {
    this.#advance(now);
    return Math.max(0, this.limit - this.count);
  }

  /** How long until its oldest send leaves it, in milliseconds. */
  resetMs(now: number): number {
    this.#advance(now);
    return this.count === 0 ? 0 : this.#oldestLeaves - now;
  }

  /** The same window, to try things out on. */
  clone(): SpreadWindow {
    const progress = {
      credit: this.#credit,
      accruedTo: this.#accruedTo,
      share: this.#share,
      recoversAt: this.#recoversAt,
    };
    const twin = this.at(progress, this.#sends.slice(this.#head), this.#blockSize);
    twin.#blocks = this.#blocks;
    return twin;
  }

  /**
   * A window of the same size that has come so far.
   * @param sends times, oldest first, of blocks if `blockSize` is more than 1
   */
  at({ credit, accruedTo, share, recoversAt }: WindowProgress, sends: number[], blockSize = 1): SpreadWindow {
    const twin = new SpreadWindow(this.fullLimit, this.spanMs, this.burst);
    twin.#credit = credit;
    twin.#accruedTo = accruedTo;
    twin.#share = share;
    twin.#recoversAt = recoversAt;
    twin.#sends = sends;
    twin.#blockSize = blockSize;
    twin.#blocks = blockSize > 1 ? sends.length : 0;
    return twin;
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
   * Accrues credit up to `now`, piece by piece between the moments at which the rate changes: as many as sends leave the
   * window, and 19 steps of recovery at most, however long ago it was advanced.
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
    this.#share = raisedShare(this.#share);
    this.#recoversAt = this.#share < 1 ? this.#recoversAt + recoveryStepMs(this.spanMs) : Infinity;
  }
}

/** A limit as upstream counts it. */
export interface Limit {
  readonly limit: number;
  readonly windowMs: number;
}

/** A limit under the name that the settings give it. */
export interface NamedLimit extends Limit {
  readonly name: string;
}

/**
 * The windows for limits given shortest first. The shortest lends half of its limit as a burst, a longer one a whole
 * shortest window's worth.
 * @param marginMs what the gateway counts at sending upstream counts at arrival: jitter can squeeze more into a window
 *   there, so that each is taken longer by this, or by 0.5 % if that is more
 * @param replicas how many share the limits, each its part
 */
export function spreadWindows<L extends Limit>(
  limits: readonly L[],
  marginMs: number,
  replicas = 1,
): (L & { readonly window: SpreadWindow })[] {
  const part = ({ limit }: Limit): number => Math.max(1, Math.floor(limit / replicas));
  const shortest = limits[0] ? part(limits[0]) : 0;
  return limits.map((limit, index) => {
    const most = part(limit);
    const burst = index === 0 ? most / 2 : Math.min(most / 2, shortest);
    const spanMs = limit.windowMs + Math.max(marginMs, limit.windowMs * 0.005);
    return { ...limit, window: new SpreadWindow(most, spanMs, Math.max(1, burst)) };
  });
}
