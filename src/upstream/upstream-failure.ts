import { GatewayError } from '../errors/gateway-error.ts';
import type { CallOutcome } from './exchange.ts';
import type { TokenRefusal } from './token.ts';

/**
 * Kinds of failed calls that layers distinguish:
 * - `transient`: no response, or 502, 503 or 504. Retried once.
 * - `rate-limited`: 429. Retried when the gate opens.
 * - `token-refused`: 401, possibly due to the token. Retried after `retryAfterMs`.
 * - `job-refused`: 401 with a token that upstream accepts for other jobs. Not retried.
 * - `final`: not retried.
 */
export type FailureKind = 'transient' | 'rate-limited' | 'token-refused' | 'job-refused' | 'final';

/** A failed call. */
export interface FailedCall {
  readonly kind: FailureKind;
  readonly outcome: CallOutcome;
  /** Wait before a retry, from upstream's Retry-After or for a refused token, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** The refused token, and when the call was sent. */
  readonly refusal?: TokenRefusal;
}

/** Adds the outcome of the last call before an error, for the log. */
export function withCallOutcome(error: GatewayError, outcome: CallOutcome | undefined): GatewayError {
  return outcome ? new UpstreamFailure({ kind: 'final', outcome }, error) : error;
}

/** Statuses that answer for a job. */
const JOB_ANSWERS = [400, 403, 404, 409, 422];

/** A failed call, and the error for callers unless a layer replaces it. */
export class UpstreamFailure extends GatewayError {
  override readonly name = 'UpstreamFailure';

  /** @param error the error for callers */
  constructor(
    readonly call: FailedCall,
    error: GatewayError,
  ) {
    super(error.status, error.body, error.options);
  }

  /** Whether upstream fails for this job. A 429 is about the quota, and a cancelled call about nothing. */
  get failsJob(): boolean {
    const { status } = this.call.outcome;
    return !this.isAnswer && status !== 429 && status !== 'cancelled';
  }

  /** Whether upstream has answered: a call without an answer does not show when it arrived. */
  get hasAnswer(): boolean {
    return typeof this.call.outcome.status === 'number';
  }

  /** Whether it is upstream's answer for the job. */
  get isAnswer(): boolean {
    const { status } = this.call.outcome;
    return typeof status === 'number' && JOB_ANSWERS.includes(status);
  }
}
