import { type Clock, sleep } from '../clock.ts';
import type { GatewayError } from '../errors/gateway-error.ts';
import type { SharedRead } from './exchange.ts';

/**
 * Waits between two calls of a read, outside the queue. Patience runs meanwhile; a waiter whose patience ends is
 * answered with the failure.
 * @returns false, at once, when no waiter has patience for it
 * @throws `CallerGone` when the last waiter has left
 */
export async function pause(
  { state, cancellation }: SharedRead,
  forMs: number,
  failure: GatewayError,
  clock: Clock,
): Promise<boolean> {
  if (forMs <= 0) return true;
  if (forMs > state.waiters.patienceMs) return false;
  state.queue({ forecast: () => ({ waitMs: 0, refusal: () => failure }) });
  try {
    await sleep(clock, forMs, cancellation.signal);
    return true;
  } finally {
    state.leaveQueue();
  }
}
