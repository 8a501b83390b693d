import type { ErrorBody } from './envelope.ts';

/**
 * The closed set of the gateway's own errors, with status and default message (docs/CONTRACT.md, section 4).
 */
export const errorTable = {
  InvalidRequest: [400, 'The request is invalid.'],
  HeaderNotFound: [401, 'Header Authorization was not found in the request. Access denied.'],
  Unauthorized: [401, 'Access denied due to an invalid credential.'],
  InsufficientPermissions: [403, 'The user has insufficient permissions for the requested operation.'],
  JobNotFound: [404, 'Requested job is not available.'],
  NotFound: [404, 'There is no such resource.'],
  MethodNotAllowed: [405, 'The resource does not support this method.'],
  RequestTimeout: [408, 'The request took too long to arrive.'],
  RequestTooLarge: [413, 'The request is too large.'],
  TooManyRequests: [429, 'More requests were received than the subscription rate-limit allows.'],
  InternalServerError: [500, 'An unexpected error happened in the gateway.'],
  UpstreamAuthenticationFailed: [502, 'The platform does not accept the credentials of the gateway.'],
  InvalidUpstreamResponse: [502, 'The API answered with something that is not a job.'],
  UpstreamError: [502, 'The API failed to answer the request.'],
  ServiceUnavailable: [503, 'The service is temporarily unavailable.'],
  NotCached: [504, 'There is no copy of the job that could be served.'],
  UpstreamTimeout: [504, 'The API did not answer in time.'],
} as const satisfies Record<string, readonly [status: number, message: string]>;

export type ErrorCode = keyof typeof errorTable;

/** Further statuses of the same code. */
export const alsoAs: { readonly [code in ErrorCode]?: readonly number[] } = { RequestTooLarge: [414, 431] };

/** Details of an error beside its code. */
export interface ErrorOptions {
  /** Another status, of `alsoAs`. */
  readonly status?: number;
  readonly message?: string;
  /** The part of the request that is at fault. */
  readonly target?: string;
  /** How long the caller should wait, in milliseconds; becomes `Retry-After`. */
  readonly retryAfterMs?: number;
  /** Further headers of the response, such as `Allow`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Never sent to a caller. It must hold no secret, because it may be logged. */
  readonly cause?: Error | undefined;
}

/** An error that is sent as it is: callers may see everything in it but its cause. */
export class GatewayError extends Error {
  override readonly name: string = 'GatewayError';

  protected constructor(
    readonly status: number,
    readonly body: ErrorBody,
    readonly options: ErrorOptions = {},
  ) {
    super(body.message, options.cause && { cause: options.cause });
  }

  /** An error that another replica has received. */
  static told(status: number, body: ErrorBody, options: ErrorOptions): GatewayError {
    return new GatewayError(status, body, options);
  }

  static of(code: ErrorCode, options: ErrorOptions = {}): GatewayError {
    const [status, message] = errorTable[code];
    const body = {
      code,
      message: options.message ?? message,
      ...(options.target && { target: options.target }),
    };
    return new GatewayError(options.status ?? status, body, options);
  }
}

/** The upstream statuses whose errors are relayed, and the errors sent if upstream's own are unreadable. */
export const relayed = {
  400: { code: 'InvalidRequest', message: errorTable.InvalidRequest[1] },
  403: { code: 'InsufficientPermissions', message: errorTable.InsufficientPermissions[1] },
  409: { code: 'Conflict', message: 'The request conflicts with the state of the job.' },
  422: { code: 'InvalidContextCaptureRequest', message: 'The request cannot be processed.' },
} as const satisfies Record<number, ErrorBody>;

export type RelayedStatus = keyof typeof relayed;

/** An upstream 400, 403, 409 or 422 with its own code, message, target and details (docs/CONTRACT.md, section 4). */
export class RelayedError extends GatewayError {
  override readonly name = 'RelayedError';
  constructor(
    override readonly status: RelayedStatus,
    body: ErrorBody,
  ) {
    super(status, body);
  }
}
