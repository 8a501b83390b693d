import type { Clock } from '../clock.ts';
import type { Permit } from './budget.ts';
import type { ArrivalDelay } from './arrival-delay.ts';
import type { Gate } from './gate.ts';

/**
 * By how much a call may go after the moment that it is counted as of, in milliseconds: timers fire a little late. Were sends counted
 * as of when they go, each window would begin a little later than the one before, and their sum is lost. What upstream sees
 * is shifted by no more than this against what is counted, which takes a part of the windows' margin.
 */
const LATENESS_MS = 25;
const LATENESS_PART = 5 / 8;

/** @returns by how much a call may go after its moment and still be counted as of that, in milliseconds */
export function toleratedLatenessMs(marginMs: number): number {
  return Math.min(LATENESS_MS, marginMs * LATENESS_PART);
}

/**
 * How far ahead sends are granted and how late they go, in milliseconds: at most a part of the shortest window, so that a send that is
 * counted anew, as of when it went, does not change what has been granted meanwhile.
 * @param longestMs how far there is reason to
 */
export function horizonMs(
  windows: readonly { readonly window: { readonly spanMs: number } }[],
  longestMs: number,
): number {
  return Math.min(longestMs, ...windows.map(({ window }) => window.spanMs / 4));
}

export interface PermitRules {
  readonly clock: Clock;
  readonly gate: Gate;
  /** By how much the call may go late and still be counted as of its moment. */
  readonly latenessMs: number;
  /** By how much it may go late at all. */
  readonly usableMs: number;
  readonly arrivalDelay: ArrivalDelay;
}

export interface PermitEvents {
  /** The call goes out. */
  onSent(): void;
  /** It is to be counted as of another time than before. */
  onMoved(from: number, to: number): void;
  onUnused(): void;
}

/** A permit as every budget grants it. */
export class GrantedPermit implements Permit {
  /** As of when it is counted, and when it went. */
  #countedAt: number;
  #sentAt: number | undefined;

  constructor(
    readonly at: number,
    private readonly rules: PermitRules,
    private readonly events: PermitEvents,
  ) {
    this.#countedAt = at;
  }

  isValid(): boolean {
    const { clock, gate, latenessMs, usableMs } = this.rules;
    // No closing is as short as permits are granted ahead: one that has come since is not over at this moment.
    return clock.now() - this.at <= usableMs && gate.closedUntil <= this.at + latenessMs;
  }

  sent(): void {
    this.#sentAt = this.rules.clock.now();
    this.events.onSent();
    this.#countAsOf(this.#sentAt);
  }

  answered(): void {
    if (this.#sentAt === undefined) return;
    const delayMs = this.rules.arrivalDelay.observe(this.rules.clock.now() - this.#sentAt);
    this.#countAsOf(this.#sentAt + delayMs);
  }

  giveBack(): void {
    this.events.onUnused();
  }

  #countAsOf(time: number): void {
    if (time - this.#countedAt <= this.rules.latenessMs) return;
    this.events.onMoved(this.#countedAt, time);
    this.#countedAt = time;
  }
}
