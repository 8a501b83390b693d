import type { Gate } from './gate.ts';

/**
 * Retry-After counts whole seconds and its date form is compared with another clock, so it may exceed its window by up
 * to this much. The relative bound is for short windows. In milliseconds, and as a fraction of the window.
 */
const RETRY_AFTER_TOLERANCE_MS = 2000;
const RETRY_AFTER_TOLERANCE_FRACTION = 0.05;

/** What a 429 changes. Whether it is the first of a closing is decided where the gate's state is kept. */
export interface RateLimitReaction {
  /** How long to close an open gate. The limit below is then decreased. */
  readonly closeMs: number;
  /** How long to close a gate that is closed already, counted from now; 0: not any longer than it is. */
  readonly extendMs: number;
  /** Index of the window whose limit is decreased. */
  readonly window: number;
}

/**
 * How to react to a 429 within the limits:
 * - The first 429 closes the gate and decreases one limit. Without a Retry-After it closes for a growing backoff.
 * - A later 429, of a call that was in flight when the gate closed, only extends the closing, by its Retry-After.
 * @param windows shortest first
 */
export function rateLimitReaction(
  windows: readonly { readonly window: { readonly spanMs: number } }[],
  gate: Gate,
  retryAfterMs: number | undefined,
): RateLimitReaction {
  return {
    closeMs: retryAfterMs ?? (gate.closedMs() === 0 ? gate.backoffMs() : 0),
    extendMs: retryAfterMs ?? 0,
    window: exhaustedWindow(windows, retryAfterMs),
  };
}

/**
 * Index of the window that upstream found full: the shortest whose span is at least Retry-After, the longest when all
 * are shorter, the shortest without Retry-After.
 */
function exhaustedWindow(
  windows: readonly { readonly window: { readonly spanMs: number } }[],
  retryAfterMs = 0,
): number {
  const index = windows.findIndex(({ window: { spanMs } }) => spanMs + toleranceMs(spanMs) >= retryAfterMs);
  return index < 0 ? windows.length - 1 : index;
}

function toleranceMs(spanMs: number): number {
  return Math.min(RETRY_AFTER_TOLERANCE_MS, spanMs * RETRY_AFTER_TOLERANCE_FRACTION);
}
