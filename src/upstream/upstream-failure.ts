import { GatewayError } from '../errors/gateway-error.ts';
import type { UpstreamTrace } from './exchange.ts';

/**
 * What went wrong with one call, as far as a layer decides by it:
 * - `transient`: no answer began, or 502, 503 or 504. Worth one more try.
 * - `rate-limited`: 429. Worth waiting out.
 * - `stale-token`: 401. Worth one try with a new token.
 * - `final`: nothing that another try would mend.
 */
export type FailureKind = 'transient' | 'rate-limited' | 'stale-token' | 'final';

/** What is known of a failed call. */
export interface FailedCall {
  readonly kind: FailureKind;
  readonly trace: UpstreamTrace;
  /** What upstream's Retry-After asks for, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
}

/** The same error, with what came of the last call before it: the log tells of that. */
export function traced(error: GatewayError, trace: UpstreamTrace | undefined): GatewayError {
  return trace ? new UpstreamFailure({ kind: 'final', trace }, error) : error;
}

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
}
