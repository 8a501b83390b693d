/**
 * Constants of the window arithmetic. It exists twice, in window.ts for one process and in script/ for the shared
 * budget; the script receives these constants with every request.
 */
export const WINDOW_CONSTANTS = {
  /** A 429 multiplies the share of a limit by this factor, down to the lowest share. */
  decreaseFactor: 0.7,
  lowestShare: 0.05,
  /** Share regained with each recovery step. */
  recoveryShare: 0.05,
  /** Tolerance for rounding when credit is compared with one send. */
  creditTolerance: 1e-9,
  /** Added to every wait, so that rounding cannot end it early. In milliseconds. */
  waitMarginMs: 1e-6,
  /** Shortest step in time, in milliseconds. Less would be lost to rounding on a clock that has run for months. */
  minStepMs: 1e-3,
} as const;

/** Longest time between two recovery steps, in milliseconds: an hourly limit is back from 70 % after half an hour. */
const MAX_RECOVERY_STEP_MS = 5 * 60_000;

/** Time between two recovery steps: one window, at most five minutes. */
export function recoveryStepMs(spanMs: number): number {
  return Math.min(spanMs, MAX_RECOVERY_STEP_MS);
}
