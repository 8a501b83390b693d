import { LOWEST_SHARE, recoveryStepMs } from './limit-share.ts';

/** How far a window has come, apart from its sends. Times in milliseconds, on the window's clock. */
export interface WindowProgress {
  readonly credit: number;
  readonly accruedTo: number;
  /** The part of the limit that is used, after a cut. */
  readonly share: number;
  /** When it recovers by a step; Infinity when there is nothing to recover. */
  readonly recoversAt: number;
}

/** The constants of a window. */
interface WindowSize {
  readonly fullLimit: number;
  readonly spanMs: number;
  readonly burst: number;
}

/**
 * What was read from outside, with each number in the range that the arithmetic itself can reach: a credit or a time out of it
 * would stop the window for as long, and make a forecast step through that time.
 * @param opensAt when the gate opens, if it is closed
 */
export function boundProgress(
  { credit, accruedTo, share, recoversAt }: WindowProgress,
  { fullLimit, spanMs, burst }: WindowSize,
  now: number,
  opensAt: number,
): WindowProgress {
  const latest = Math.max(now, opensAt);
  const boundedShare = clamp(share, LOWEST_SHARE, 1);
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
