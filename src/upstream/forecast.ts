import { GatewayError } from '../errors/gateway-error.ts';

/** What a read has to expect of the queue. */
export interface Forecast {
  /** In how many milliseconds its call would be sent. */
  readonly waitMs: number;
  /** The answer to a waiter whose patience ends before. */
  refusal(): GatewayError;
}

/** The expected wait exceeds a waiter's patience. */
export function tooManyRequests(retryAfterMs: number): GatewayError {
  return GatewayError.of('TooManyRequests', { retryAfterMs });
}
