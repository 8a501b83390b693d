import type { HttpService } from '@nestjs/axios';
import { z } from 'zod';
import { codeOf, safeCause } from '../errors/cause.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { parseJson } from '../parse-json.ts';
import { parseRetryAfter } from './retry-after.ts';

/** A token and its lifetime in milliseconds. */
export interface IssuedToken {
  readonly value: string;
  readonly lifetimeMs: number;
}

/** A failed token request: the platform refused the credentials, or did not answer properly. */
export class TokenFailure extends Error {
  override readonly name = 'TokenFailure';
  /**
   * @param reason what happened, without secrets
   * @param retryAfterMs Retry-After of the endpoint
   * @param cause without secrets
   */
  constructor(
    readonly kind: 'refused' | 'unavailable',
    reason: string,
    readonly retryAfterMs?: number,
    cause?: Error,
  ) {
    super(reason, cause && { cause });
  }

  /** Code of the cause, such as `ECONNREFUSED`. */
  get code(): string | undefined {
    return codeOf(this.cause);
  }

  /** The error for callers. */
  toGatewayError(retryAfterMs: number): GatewayError {
    return this.kind === 'refused'
      ? GatewayError.of('UpstreamAuthenticationFailed', { cause: this })
      : GatewayError.of('ServiceUnavailable', { retryAfterMs, cause: this });
  }
}

export interface TokenEndpointOptions {
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** RFC 6749 section 2.3.1: `basic` in the Authorization header, `body` as form fields. */
  readonly clientAuth: 'basic' | 'body';
  readonly scope: string;
  readonly timeoutMs: number;
}

/** Without `expires_in` the lifetime is the platform's usual 3600 s. It is bounded to a day. */
const tokenResponse = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]{1,16384}$/),
  token_type: z
    .string()
    .regex(/^bearer$/i)
    .optional(),
  expires_in: z.coerce
    .number()
    .positive()
    .transform((seconds) => Math.min(seconds, 86_400))
    .default(3600),
});

const MAX_RESPONSE_BYTES = 64 * 1024;

/** Exchanges client credentials for a token (RFC 6749 section 4.4): one request, no retry. @throws {TokenFailure} */
export async function requestToken(http: HttpService, options: TokenEndpointOptions): Promise<IssuedToken> {
  const { status, headers, data } = await post(http, options);
  if (status === 200) {
    const parsed = tokenResponse.safeParse(parseJson(data));
    if (!parsed.success) throw new TokenFailure('unavailable', 'the token endpoint answered with no token');
    return { value: parsed.data.access_token, lifetimeMs: parsed.data.expires_in * 1000 };
  }
  const refused = status >= 400 && status < 500 && status !== 408 && status !== 429;
  throw new TokenFailure(
    refused ? 'refused' : 'unavailable',
    `the token endpoint answered ${status}`,
    parseRetryAfter(text(headers['retry-after']), text(headers['date'])),
  );
}

async function post(http: HttpService, options: TokenEndpointOptions) {
  const { url, clientId, clientSecret, clientAuth, scope, timeoutMs } = options;
  const form = new URLSearchParams({ grant_type: 'client_credentials', scope });
  const basic = `Basic ${Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64')}`;
  if (clientAuth === 'body') {
    form.set('client_id', clientId);
    form.set('client_secret', clientSecret);
  }
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    return await http.axiosRef.post<string>(url, form.toString(), {
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/json',
        ...(clientAuth === 'basic' && { authorization: basic }),
      },
      signal: timeout,
      responseType: 'text',
      maxContentLength: MAX_RESPONSE_BYTES,
    });
  } catch (error) {
    // The client's error contains the request, and thus the secret: only its code is kept.
    const cause = safeCause(timeout.aborted ? timeout.reason : error);
    const why = timeout.aborted ? 'timeout' : (cause.code ?? 'unknown');
    throw new TokenFailure('unavailable', `the token endpoint did not answer (${why})`, undefined, cause);
  }
}

/** Form encoding (RFC 6749 appendix B), with `+` for a space. */
function encode(value: string): string {
  return new URLSearchParams([['', value]]).toString().slice(1);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
