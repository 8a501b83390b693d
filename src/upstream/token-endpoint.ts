import type { HttpService } from '@nestjs/axios';
import { z } from 'zod';
import { codeOf, safeCause } from '../errors/cause.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { parseJson } from '../parse-json.ts';
import { parseRetryAfter } from './retry-after.ts';

/** A token and its life, in milliseconds. */
export interface IssuedToken {
  readonly value: string;
  readonly lifetimeMs: number;
}

/** Why there is no token: the platform refuses the credentials, or cannot say. */
export class TokenFailure extends Error {
  override readonly name = 'TokenFailure';
  /**
   * @param reason what happened, in words that hold no secret
   * @param retryAfterMs what the endpoint asks for
   * @param cause what it came of; it holds no secret either
   */
  constructor(
    readonly kind: 'refused' | 'unavailable',
    reason: string,
    readonly retryAfterMs?: number,
    cause?: Error,
  ) {
    super(reason, cause && { cause });
  }

  /** The code of what caused it, such as `ECONNREFUSED`. */
  get code(): string | undefined {
    return codeOf(this.cause);
  }

  /** What a caller is answered. */
  toAnswer(retryAfterMs: number): GatewayError {
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

/** A token without a stated life lives as long as the platform's do: 3600 s. No longer life is believed than a day. */
const success = z.object({
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

const LARGEST_ANSWER = 64 * 1024;

/** Exchanges client credentials for a token (RFC 6749 section 4.4): one request, no retry. Throws a {@link TokenFailure}. */
export async function requestToken(http: HttpService, options: TokenEndpointOptions): Promise<IssuedToken> {
  const { status, headers, data } = await post(http, options);
  if (status === 200) {
    const parsed = success.safeParse(parseJson(data));
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
      maxContentLength: LARGEST_ANSWER,
    });
  } catch (error) {
    // The client's own error holds the request, and so the secret: only its code goes on.
    const cause = safeCause(timeout.aborted ? timeout.reason : error);
    const why = timeout.aborted ? 'timeout' : (cause.code ?? 'unknown');
    throw new TokenFailure('unavailable', `the token endpoint did not answer (${why})`, undefined, cause);
  }
}

/** As a form encodes it (RFC 6749 appendix B), a space as `+` included. */
function encode(value: string): string {
  return new URLSearchParams([['', value]]).toString().slice(1);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
