import type { Permit } from '../../src/budget/budget.ts';

/** How long to wait, in milliseconds; 0 for a permit. */
export function waitMsOf(answer: Permit | number): number {
  return typeof answer === 'number' ? answer : 0;
}
