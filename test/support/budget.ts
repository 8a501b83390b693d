import type { Grant } from '../../src/budget/budget.ts';

/** Time until the first permit's send time, or until asking again when there is none; 0 when that is now. */
export function waitMsOf({ permits: [permit], waitMs }: Grant, now = performance.now()): number {
  if (!permit) return waitMs;
  // The store's clock is known to a fraction of a millisecond.
  return permit.at - now < 1 ? 0 : permit.at - now;
}
