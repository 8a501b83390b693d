import { setTimeout as delay } from 'node:timers/promises';

/** Default timeout, in milliseconds, for a very busy machine. */
export const LONGEST_WAIT_MS = 60_000;

/**
 * Polls until a condition holds.
 * @param what condition for the error message
 * @param boundMs longest wait, in milliseconds
 */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  boundMs = LONGEST_WAIT_MS,
): Promise<void> {
  const end = performance.now() + boundMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${boundMs} ms: ${what}`);
    await delay(20);
  }
}
