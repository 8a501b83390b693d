/** By what a limit is cut when upstream refuses inside it, its floor, and what it regains with each step. */
const CUT = 0.7;
export const LOWEST_SHARE = 0.05;
const RECOVERY = 0.05;
/**
 * A Retry-After counts whole seconds, and a date of it is taken against another one: it may be longer than its window by so much, in
 * milliseconds, which is more than a short window can be told by.
 */
const ROUNDED_UP_MS = 2000;
const ROUNDED_UP_PART = 0.05;
/** Longest time between two steps, in milliseconds: an hourly limit is back from 70 % after half an hour. */
const LONGEST_STEP_MS = 5 * 60_000;

export function loweredShare(share: number): number {
  return Math.max(LOWEST_SHARE, share * CUT);
}

export function raisedShare(share: number): number {
  return Math.min(1, share + RECOVERY);
}

/** Time between two steps of the recovery: one window, five minutes at most. */
export function recoveryStepMs(spanMs: number): number {
  return Math.min(spanMs, LONGEST_STEP_MS);
}

/**
 * The window that a refusal speaks of: the shortest one that is not shorter than its Retry-After, the longest when all are;
 * without a Retry-After the shortest.
 * @param windows shortest first
 */
export function refusingWindow<W extends { readonly window: { readonly spanMs: number } }>(
  windows: readonly W[],
  retryAfterMs = 0,
): W | undefined {
  return windows.find(({ window: { spanMs } }) => spanMs + slackMs(spanMs) >= retryAfterMs) ?? windows.at(-1);
}

function slackMs(spanMs: number): number {
  return Math.min(ROUNDED_UP_MS, spanMs * ROUNDED_UP_PART);
}
