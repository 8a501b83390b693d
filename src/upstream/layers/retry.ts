import { type Clock, systemClock } from '../../clock.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { SharedRead, Layer } from '../exchange.ts';
import { pause } from '../pause.ts';
import type { TokenRefusal } from '../token.ts';
import { type FailureKind, UpstreamFailure } from '../upstream-failure.ts';

/**
 * Tries again, each time in a new slot (docs/CONTRACT.md, section 3, Waiting). This is the only place that does: the
 * retries of the HTTP client and of Bottleneck are off.
 *
 * A 429 gets as many tries as the patience of those who wait allows, which the queue judges; each closes its gate
 * first, so their number is bounded by time. So is that of tries after a refused token, by pauses that grow. A 503 is tried
 * again when the Retry-After of its job is over.
 */
export function retry(clock: Clock = systemClock): Layer<SharedRead> {
  return (next) => async (read) => {
    const triesLeft: Record<FailureKind, number> = {
      transient: read.hasFailed ? 0 : 1,
      'token-refused': read.hasFailed ? 0 : Infinity,
      'rate-limited': Infinity,
      'job-refused': 0,
      final: 0,
    };
    const refusals: TokenRefusal[] = [];
    let failed: UpstreamFailure | undefined;
    for (;;) {
      try {
        return await next(failed ? { ...read, isRetry: true, refusals } : read);
      } catch (error) {
        if (!(error instanceof UpstreamFailure))
          throw hasNoSlot(error) ? (reasonToTell(failed) ?? error) : error;
        failed = error;
        const { kind, outcome, refusal, retryAfterMs = 0 } = error.call;
        read.onCallFailed(outcome);
        if (refusal) refusals.push(refusal);
        if (triesLeft[kind]-- <= 0) throw error;
        // After a 429 the gate is closed, and the queue waits.
        if (kind !== 'rate-limited' && !(await pause(read, retryAfterMs, error, clock))) throw error;
      }
    }
  };
}

/** The queue refuses another try, for lack of quota or time. */
function hasNoSlot(error: unknown): boolean {
  return error instanceof GatewayError && error.status === 429;
}

/** Without another try the caller learns of the failure itself; of a 429 it learns when to come back. */
function reasonToTell(failed: UpstreamFailure | undefined): UpstreamFailure | undefined {
  return failed?.call.kind === 'rate-limited' ? undefined : failed;
}
