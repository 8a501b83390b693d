import { serializeList } from 'structured-headers';
import type { BudgetState } from '../budget/budget.ts';

/**
 * The RateLimit fields (draft-ietf-httpapi-ratelimit-headers-11): the limits, and the window with the fewest calls
 * left.
 */
export function rateLimitFields({ windows }: BudgetState): Record<string, string> {
  const policy = windows.map(({ name, limit, windowMs }): [string, Map<string, number>] => [
    name,
    new Map([
      ['q', limit],
      ['w', wholeSeconds(windowMs)],
    ]),
  ]);
  const [least] = windows.toSorted((a, b) => a.remaining - b.remaining);
  if (!least) return {};
  const left = new Map([
    ['r', least.remaining],
    ['t', wholeSeconds(least.resetMs)],
  ]);
  return { 'ratelimit-policy': serializeList(policy), ratelimit: serializeList([[least.name, left]]) };
}

function wholeSeconds(ms: number): number {
  return Math.ceil(ms / 1000);
}
