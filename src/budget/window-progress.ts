import { recoveryStepMs, WINDOW_CONSTANTS } from './window-constants.ts';

/** State of a window apart from its sends. Times in milliseconds, on the window's clock. */
export interface WindowProgress {
  readonly credit: number;
  readonly accruedTo: number;
  /** The usable part of the limit: less than 1 after a 429. */
  readonly share: number;
  /** When the next recovery step is due; Infinity when the share is 1. */
  readonly recoversAt: number;
}

interface WindowSize {
  readonly fullLimit: number;
  readonly spanMs: number;
  readonly burst: number;
}

/**
 * Clamps state that was read from outside to the range that the arithmetic can reach. A credit or time beyond it would
 * stall the window for as long, and make a forecast simulate all of that time.
 * @param opensAt when the gate opens, if it is closed
 */
export function boundProgress(
  { credit, accruedTo, share, recoversAt }: WindowProgress,
  { fullLimit, spanMs, burst }: WindowSize,
  now: number,
  opensAt: number,
): WindowProgress {
  const latest = Math.max(now, opensAt);
  const boundedShare = clamp(share, WINDOW_CONSTANTS.lowestShare, 1);
  return {
    credit: clamp(credit, -fullLimit, burst),
    accruedTo: Math.min(accruedTo, latest),
    share: boundedShare,
    recoversAt: boundedShare < 1 ? Math.min(recoversAt, latest + recoveryStepMs(spanMs)) : Infinity,
  };
}

function clamp(value: number, lowest: number, highest: number): number {
  return Math.max(lowest, Math.min(highest, value));
}
