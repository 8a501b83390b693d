import { GatewayError } from '../../errors/gateway-error.ts';
import type { Flight, Layer } from '../exchange.ts';
import { type FailureKind, UpstreamFailure } from '../upstream-failure.ts';

/**
 * Tries again, each time in a new slot of the queue (contract section 3, Waiting). This is the only place that does: the
 * retries of the HTTP client and of Bottleneck are off.
 *
 * A 429 gets as many tries as the patience of those who wait allows, which the queue judges; each closes its gate
 * first, so their number is bounded by time.
 */
export const retry: Layer<Flight> = (next) => async (read) => {
  const triesLeft: Record<FailureKind, number> = {
    transient: 1,
    'stale-token': 1,
    'rate-limited': Infinity,
    final: 0,
  };
  let failed: UpstreamFailure | undefined;
  for (;;) {
    try {
      return await next(failed ? { ...read, again: true } : read);
    } catch (error) {
      if (!(error instanceof UpstreamFailure))
        throw hasNoSlot(error) ? (reasonToTell(failed) ?? error) : error;
      failed = error;
      read.onFailed(error.call.trace);
      if (triesLeft[error.call.kind]-- <= 0) throw error;
    }
  }
};

/** The queue refuses another try, for lack of quota or time. */
function hasNoSlot(error: unknown): boolean {
  return error instanceof GatewayError && error.status === 429;
}

/** Without another try the caller learns of the failure itself; of a 429 it learns when to come back. */
function reasonToTell(failed: UpstreamFailure | undefined): UpstreamFailure | undefined {
  return failed?.call.kind === 'rate-limited' ? undefined : failed;
}
