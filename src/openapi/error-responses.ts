import { alsoAs, type ErrorCode, errorTable, relayed } from '../errors/gateway-error.ts';
import { responseFieldRefs } from './fields.ts';

/** A group of routes. */
export type Scope = 'any' | 'callers' | 'jobs' | 'events' | 'state';

/**
 * Every error of the table: when it occurs, and on which routes (docs/CONTRACT.md, section 4). A new error must be
 * added here.
 */
const occasions: Readonly<Record<ErrorCode, readonly [when: string, ...Scope[]]>> = {
  InvalidRequest: [
    'a request that is not HTTP; for events, `ids` that are missing, too many or no UUIDs',
    'any',
  ],
  HeaderNotFound: ['no Authorization header', 'callers'],
  Unauthorized: ['a credential that is malformed, unknown or expired, or lacks the scope', 'callers'],
  InsufficientPermissions: [
    'upstream refuses the gateway this job; for the console’s data, a caller who is no operator',
    ...(['jobs', 'state'] as const),
  ],
  JobNotFound: ['there is no such job, the id is no UUID, or the caller may not see the job', 'jobs'],
  NotFound: ['no such route: the id is empty', 'jobs'],
  MethodNotAllowed: ['another method than those of this path', 'any'],
  RequestTimeout: ['a request too slow to arrive', 'any'],
  RequestTooLarge: ['a request too big to read: its body (413), its URL (414), its head (431)', 'any'],
  TooManyRequests: [
    'patience or the queue does not suffice; for events, too many streams of this caller',
    ...(['jobs', 'events'] as const),
  ],
  InternalServerError: ['a fault of the gateway itself', 'any'],
  UpstreamAuthenticationFailed: ['the platform refuses the gateway’s own credentials, or its token', 'jobs'],
  InvalidUpstreamResponse: ['a success that is no job: not JSON, no `job`, too large, cut off', 'jobs'],
  UpstreamError: ['an upstream 5xx or a status not named here, a refused or broken connection', 'jobs'],
  ServiceUnavailable: [
    'the circuit is open, or there is no token; for the console’s data, too many streams',
    ...(['jobs', 'state'] as const),
  ],
  NotCached: ['`only-if-cached` found nothing', 'jobs'],
  UpstreamTimeout: ['no upstream answer in time', 'jobs'],
};

/** One error with one status. */
interface Case {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly when: string;
}

function casesOf(scopes: readonly Scope[]): Case[] {
  const codes = (Object.keys(errorTable) as ErrorCode[]).filter((code) =>
    occasions[code].slice(1).some((scope) => scopes.includes(scope as Scope)),
  );
  const own = codes.flatMap((code) => {
    const [status, message] = errorTable[code];
    const [when] = occasions[code];
    return [status, ...(alsoAs[code] ?? [])].map((each): Case => ({ status: each, code, message, when }));
  });
  if (!scopes.includes('jobs')) return own;
  const upstream = Object.entries(relayed).map(([status, { code, message }]): Case => ({
    status: Number(status),
    code,
    message,
    when: 'upstream says so, in its own words: another code, a target and details are possible',
  }));
  return [
    ...own,
    ...upstream.filter((one) => !own.some(({ status, code }) => status === one.status && code === one.code)),
  ];
}

/** The error responses of an operation, by status. */
export function errorResponses(...scopes: Scope[]): Record<string, object> {
  const byStatus = Object.groupBy(casesOf(scopes), ({ status }) => status);
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, cases = []]) => [status, response(Number(status), cases, scopes)]),
  );
}

function response(status: number, cases: readonly Case[], scopes: readonly Scope[]): object {
  const codes = [...new Set(cases.map(({ code }) => code))];
  // Upstream's own codes are not the gateway's to list.
  const isClosed = !(scopes.includes('jobs') && status in relayed);
  const envelope = { $ref: '#/components/schemas/ErrorResponse' };
  const withCode = {
    type: 'object',
    properties: { error: { type: 'object', properties: { code: { enum: codes } } } },
  };
  return {
    description: cases.map(({ code, when }) => `\`${code}\`: ${when}.`).join('\n'),
    headers: headersOf(status, scopes),
    content: {
      'application/json': {
        schema: isClosed ? { allOf: [envelope, withCode] } : envelope,
        examples: Object.fromEntries(
          cases.map(({ code, message }) => [code, { value: { error: { code, message } } }]),
        ),
      },
    },
  };
}

function headersOf(status: number, scopes: readonly Scope[]): object {
  switch (status) {
    case 401:
      return responseFieldRefs('Cache-Control', 'WWW-Authenticate');
    case 405:
      return responseFieldRefs('Cache-Control', 'Allow');
    case 429:
      return scopes.includes('jobs')
        ? responseFieldRefs('Cache-Control', 'Retry-After', 'RateLimit-Policy', 'RateLimit')
        : responseFieldRefs('Cache-Control', 'Retry-After');
    case 503:
      return responseFieldRefs('Cache-Control', 'Retry-After');
    default:
      return responseFieldRefs('Cache-Control');
  }
}
