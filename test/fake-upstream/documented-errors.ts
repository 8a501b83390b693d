import type { Answer } from './reactions.ts';

/** How a refusal says when to come again. */
export type RetryAfterForm = 'seconds' | 'date' | 'absent';

const INVALID_TOKEN =
  'Access denied due to invalid access_token. Make sure that issuer is correct, the token is not expired and is not corrupted.';

/** The errors of the API in the words of its reference. */
export const HEADER_NOT_FOUND = enveloped(401, {
  code: 'HeaderNotFound',
  message: 'Header Authorization was not found in the request. Access denied.',
});

export const UNAUTHORIZED = enveloped(401, { code: 'Unauthorized', message: INVALID_TOKEN });

/** The form without the envelope, which the API's reference allows for. */
export const UNAUTHORIZED_UNWRAPPED: Answer = {
  status: 401,
  body: JSON.stringify({ code: 'Unauthorized', message: INVALID_TOKEN }),
};

export const UNKNOWN_CLIENT = enveloped(401, {
  code: 'Unauthorized',
  message: INVALID_TOKEN,
  details: [{ code: 'UnknownClient', message: 'The client is unknown.' }],
});

export const JOB_NOT_FOUND = enveloped(404, {
  code: 'JobNotFound',
  message: 'Requested job is not available.',
});

export const NO_SUCH_ROUTE = enveloped(404, {
  code: 'NotFound',
  message: 'Requested resource is not available.',
});

/** A 429 with this `Retry-After`, or with none. */
export function tooManyRequests(retryAfter: string | undefined, clientId: string): Answer {
  const refusal = enveloped(429, {
    code: 'TooManyRequests',
    message: 'More requests were received than the subscription rate-limit allows.',
  });
  const headers = {
    'ITwinPlatform-RateLimited-Tier': 'Trial',
    'ITwinPlatform-RateLimited-Application': clientId,
    ...(retryAfter === undefined ? {} : { 'Retry-After': retryAfter }),
  };
  return { ...refusal, headers };
}

/** `Retry-After` for a wait of so many milliseconds, rounded up so that it never allows a request too early. */
export function retryAfter(waitMs: number, form: RetryAfterForm): string | undefined {
  switch (form) {
    case 'seconds':
      return String(Math.ceil(waitMs / 1000));
    case 'date':
      return new Date(Math.ceil((Date.now() + waitMs) / 1000) * 1000).toUTCString();
    case 'absent':
      return undefined;
  }
}

function enveloped(status: number, error: { code: string; message: string; details?: object[] }): Answer {
  return { status, body: JSON.stringify({ error }) };
}
