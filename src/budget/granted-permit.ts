import type { Clock } from '../clock.ts';
import type { Permit } from './budget.ts';
import type { ArrivalDelay } from './arrival-delay.ts';
import type { Gate } from './gate.ts';

/**
 * How late a call may be sent and still count at its scheduled time, because timers fire late. If such calls counted at
 * their send time, the delays would add up window by window and waste quota. It uses up part of the windows' margin. In
 * milliseconds, and as a fraction of the margin.
 */
const LATENESS_MS = 25;
const LATENESS_FRACTION = 5 / 8;

/** How late a call may be sent and still count at its scheduled time, in milliseconds. */
export function toleratedLatenessMs(marginMs: number): number {
  return Math.min(LATENESS_MS, marginMs * LATENESS_FRACTION);
}

/**
 * How far ahead sends are granted and how late they may be made, in milliseconds: at most a quarter of the shortest
 * window, so that moving a late send to its send time does not invalidate later grants.
 * @param longestMs upper bound
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
  /** How late the call may be sent and still count at its scheduled time. */
  readonly latenessMs: number;
  /** How late the call may be sent at all. */
  readonly usableMs: number;
  readonly arrivalDelay: ArrivalDelay;
}

export interface PermitEvents {
  /** The call was sent. */
  onSent(): void;
  /** The send counts at another time than before. */
  onMoved(from: number, to: number): void;
  /** The call will not be sent. */
  onUnused(): void;
}

/** The permit of every budget. */
export class GrantedPermit implements Permit {
  /** The time at which the send counts, and the time it was made. */
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
    // No closing is shorter than permits are granted ahead, so one that began after the grant is not over at `at`.
    return clock.now() - this.at <= usableMs && gate.closedUntil <= this.at + latenessMs;
  }

  sent(): void {
    this.#sentAt = this.rules.clock.now();
    this.events.onSent();
    this.#countAt(this.#sentAt);
  }

  answered(): void {
    if (this.#sentAt === undefined) return;
    const delayMs = this.rules.arrivalDelay.observe(this.rules.clock.now() - this.#sentAt);
    this.#countAt(this.#sentAt + delayMs);
  }

  release(): void {
    this.events.onUnused();
  }

  #countAt(time: number): void {
    if (time - this.#countedAt <= this.rules.latenessMs) return;
    this.events.onMoved(this.#countedAt, time);
    this.#countedAt = time;
  }
}
