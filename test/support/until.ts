import { setTimeout as delay } from 'node:timers/promises';

/** No promise: what comes later on the busiest machine does not come. In milliseconds. */
export const LONGEST_WAIT_MS = 60_000;

/**
 * Waits for a thing that tells nobody of itself, looking often.
 * @param what for the message, when it has not come to pass
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
