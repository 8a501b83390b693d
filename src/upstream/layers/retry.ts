import { type Clock, systemClock } from '../../clock.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { Layer, SharedRead } from '../exchange.ts';
import { pause } from '../pause.ts';
import type { TokenRefusal } from '../token.ts';
import { type FailureKind, UpstreamFailure } from '../upstream-failure.ts';

/**
 * Makes a failed call again, each time through the queue (docs/CONTRACT.md, section 3, Waiting). It is the only place that does:
 * the retries of the HTTP client and of Bottleneck are off.
 *
 * After a 429 the queue decides whether there is patience for another call; since each 429 closes the gate, time bounds
 * their number. So do the growing pauses after a refused token. A 503 is retried when the Retry-After of its job is
 * over.
 */
export function retry(clock: Clock = systemClock): Layer<SharedRead> {
  return (next) => async (read) => {
    const retriesLeft: Record<FailureKind, number> = {
      transient: read.hasFailed ? 0 : 1,
      'token-refused': read.hasFailed ? 0 : Infinity,
      'rate-limited': Infinity,
      'job-refused': 0,
      final: 0,
    };
    const refusals: TokenRefusal[] = [];
    let failure: UpstreamFailure | undefined;
    for (;;) {
      try {
        return await next(failure ? { ...read, isRetry: true, refusals } : read);
      } catch (error) {
        if (!(error instanceof UpstreamFailure))
          throw isRefusal(error) ? (errorToTell(failure) ?? error) : error;
        failure = error;
        const { kind, outcome, refusal, retryAfterMs = 0 } = error.call;
        read.state.fail(outcome);
        if (refusal) refusals.push(refusal);
        if (retriesLeft[kind]-- <= 0) throw error;
        // After a 429 the wait is the queue's, because the gate is closed.
        if (kind !== 'rate-limited' && !(await pause(read, retryAfterMs, error, clock))) throw error;
      }
    }
  };
}

/** The queue takes no other call, for lack of quota or patience. */
function isRefusal(error: unknown): boolean {
  return error instanceof GatewayError && error.status === 429;
}

/**
 * Without another call the caller gets the failure itself; after a 429, the queue's refusal, which says when to come
 * back.
 */
function errorToTell(failure: UpstreamFailure | undefined): UpstreamFailure | undefined {
  return failure?.call.kind === 'rate-limited' ? undefined : failure;
}
