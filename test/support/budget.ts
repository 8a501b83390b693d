import type { Grant } from '../../src/budget/budget.ts';

/** In how many milliseconds the first permit's moment is, or more can be asked for; 0 when it is now. */
export function waitMsOf({ permits: [permit], waitMs }: Grant, now = performance.now()): number {
  if (!permit) return waitMs;
  // The clock of the store is known to part of a millisecond.
  return permit.at - now < 1 ? 0 : permit.at - now;
}
