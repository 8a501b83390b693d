import { type Clock, sleep } from '../clock.ts';
import type { GatewayError } from '../errors/gateway-error.ts';
import type { SharedRead } from './exchange.ts';

/**
 * Waits between two tries of a read, outside the queue. The patience of those who wait runs meanwhile; whose patience ends is
 * told the failure.
 * @returns false, at once, when nobody would wait so long
 * @throws `CallerGone` when nobody waits any more
 */
export async function pause(
  { waiters, cancellation, onQueued }: SharedRead,
  forMs: number,
  failure: GatewayError,
  clock: Clock,
): Promise<boolean> {
  if (forMs <= 0) return true;
  if (forMs > waiters.patienceMs) return false;
  onQueued();
  waiters.onEnqueued({ forecastMs: () => 0, refusal: () => failure, onCallersChanged: () => undefined });
  try {
    await sleep(clock, forMs, cancellation.signal);
    return true;
  } finally {
    waiters.onDequeued();
  }
}
