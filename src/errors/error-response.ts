import type { ErrorBody } from './envelope.ts';
import { alsoAs, type ErrorCode, GatewayError } from './gateway-error.ts';

/** An error as it goes over the wire. */
export interface ErrorResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The envelope, as JSON. */
  readonly body: string;
  /** Whether it is a fault of the gateway itself, to be logged with its stack. */
  readonly unexpected: boolean;
}

/** Maps any thrown value to the documented envelope (docs/CONTRACT.md, section 4). An unknown error reveals nothing. */
export function toErrorResponse(thrown: unknown): ErrorResponse {
  const error = thrown instanceof GatewayError ? thrown : fromFramework(thrown);
  const { retryAfterMs, headers } = error.options;
  return {
    status: error.status,
    headers: {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      ...(error.status === 401 && { 'www-authenticate': 'Bearer' }),
      ...(retryAfterMs !== undefined && { 'retry-after': retryAfter(retryAfterMs) }),
      ...headers,
    },
    body: JSON.stringify({ error: error.body } satisfies { error: ErrorBody }),
    unexpected: error.status === 500,
  };
}

/** Whole seconds, rounded up, at least 1 (docs/CONTRACT.md, section 3). */
function retryAfter(waitMs: number): string {
  return String(Math.max(1, Math.ceil(waitMs / 1000)));
}

/** Maps errors of Nest and Fastify by their status. Any other error is a fault of the gateway. */
function fromFramework(thrown: unknown): GatewayError {
  const status = thrown instanceof Error ? statusOf(thrown) : 500;
  const code = codeOf(status);
  return code === undefined
    ? GatewayError.of('InternalServerError')
    : GatewayError.of(code, alsoAs[code]?.includes(status) ? { status } : {});
}

/** Nest has the status in a method, Fastify in a field. */
function statusOf(thrown: unknown): number {
  const { getStatus, statusCode } = thrown as { getStatus?: () => unknown; statusCode?: unknown };
  return Number(getStatus?.call(thrown) ?? statusCode ?? 500);
}

function codeOf(status: number): ErrorCode | undefined {
  switch (status) {
    case 404:
      return 'NotFound';
    case 405:
      return 'MethodNotAllowed';
    case 408:
      return 'RequestTimeout';
    case 413:
    case 414:
    case 431:
      return 'RequestTooLarge';
    default:
      return status >= 400 && status < 500 ? 'InvalidRequest' : undefined;
  }
}
