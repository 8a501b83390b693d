import { GatewayError } from '../errors/gateway-error.ts';
import type { CallOutcome } from './exchange.ts';
import type { TokenRefusal } from './token.ts';

/**
 * What went wrong with one call, as far as a layer decides by it:
 * - `transient`: no answer began, or 502, 503 or 504. Worth one more try.
 * - `rate-limited`: 429. Worth waiting out.
 * - `token-refused`: 401, and the token may be the reason: worth another try, after `retryAfterMs`.
 * - `job-refused`: 401 with a token that other jobs are read with. Nothing that another try would mend.
 * - `final`: nothing that another try would mend.
 */
export type FailureKind = 'transient' | 'rate-limited' | 'token-refused' | 'job-refused' | 'final';

/** What is known of a failed call. */
export interface FailedCall {
  readonly kind: FailureKind;
  readonly outcome: CallOutcome;
  /** How long upstream's Retry-After asks to wait, or a token that was refused needs, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** The token that upstream refused, and when the call was sent. */
  readonly refusal?: TokenRefusal;
}

/** The same error, with what came of the last call before it: the log tells of that. */
export function withCallOutcome(error: GatewayError, outcome: CallOutcome | undefined): GatewayError {
  return outcome ? new UpstreamFailure({ kind: 'final', outcome }, error) : error;
}

/** Statuses that are upstream's word on a job. */
const ANSWERS = [400, 403, 404, 409, 422];

/** A call that did not bring a job. It is what the caller is answered when no layer knows better. */
export class UpstreamFailure extends GatewayError {
  override readonly name = 'UpstreamFailure';

  /** @param error what the caller is answered */
  constructor(
    readonly call: FailedCall,
    error: GatewayError,
  ) {
    super(error.status, error.body, error.options);
  }

  /** Whether upstream fails to answer for this job. A 429 speaks of the quota, and a call that was cancelled of nothing. */
  get failsJob(): boolean {
    const { status } = this.call.outcome;
    return !this.isAnswer && status !== 429 && status !== 'cancelled';
  }

  /** Whether upstream has answered: a call that was cut off or given up does not tell when it arrived. */
  get hasAnswer(): boolean {
    return typeof this.call.outcome.status === 'number';
  }

  /** Whether it is what upstream has to say of the job. */
  get isAnswer(): boolean {
    const { status } = this.call.outcome;
    return typeof status === 'number' && ANSWERS.includes(status);
  }
}
