/** The header fields of docs/CONTRACT.md, sections 2 and 3. */

const text = { type: 'string' } as const;
const seconds = { type: 'integer', minimum: 0 } as const;

export const requestFields = {
  CorrelationId: {
    name: 'X-Correlation-Id',
    in: 'header',
    description:
      'Echoed on every answer, sent upstream and logged. Made (a UUID) when absent, longer than 128 or not printable ASCII.',
    schema: text,
    example: 'f94193dd-5d7c-41d3-9aad-63942e3fa808',
  },
  IfNoneMatch: {
    name: 'If-None-Match',
    in: 'header',
    description: '304 when the entity tag still holds (weak comparison).',
    schema: text,
    example: '"7L34x7-Vq9rW6Jfz4xgOIni_8HdpCP-H6PF7EzwmhoQ"',
  },
  CacheControl: {
    name: 'Cache-Control',
    in: 'header',
    description:
      '`no-cache`, `max-age=N`: the caller’s freshness bound. An older copy, a finished job’s too, is read upstream again first; if that read ' +
      'fails the caller gets the error, not the copy. `only-if-cached`: never go upstream; a copy that would be served, or 504 `NotCached`.',
    schema: text,
    example: 'max-age=30',
  },
  Prefer: {
    name: 'Prefer',
    in: 'header',
    description:
      '`wait=N`: wait at most N seconds for a slot upstream, never more than the gateway would (RFC 7240).',
    schema: text,
    example: 'wait=5',
  },
  LastEventId: {
    name: 'Last-Event-ID',
    in: 'header',
    description:
      '`end`: the stream has come to its end before, and the answer is 204. Any other starts over.',
    schema: text,
    example: 'end',
  },
} as const;

export const responseFields = {
  'X-Correlation-Id': { description: 'That of the request, or a new one.', schema: text },
  ETag: {
    description: 'Strong, derived from the body; equal on every replica.',
    schema: text,
    example: requestFields.IfNoneMatch.example,
  },
  Age: { description: 'Whole seconds since the copy was read from upstream.', schema: seconds, example: 3 },
  'Cache-Control': {
    description:
      'Of a job: `private, max-age=N`, N = `Age` and the time for which the copy stays good. Of an error: `no-store`.',
    schema: text,
    example: 'private, max-age=4',
  },
  'Cache-Status': {
    description:
      'RFC 9211, named `itwin-jobs-gateway`: `hit`, or `fwd=miss|stale|request`; `collapsed` when the read shared another’s call; `ttl`; ' +
      '`detail=memory|redis|stale|stale-if-error`.',
    schema: text,
    example: 'itwin-jobs-gateway;hit;ttl=1;detail=memory',
  },
  'RateLimit-Policy': {
    description:
      'What the subscription allows, when the answer went upstream or was refused for lack of quota.',
    schema: text,
    example: '"1m";q=500;w=60, "1h";q=5000;w=3600',
  },
  RateLimit: {
    description: 'The window with least left (draft-ietf-httpapi-ratelimit-headers-11).',
    schema: text,
    example: '"1m";r=412;t=9',
  },
  'Retry-After': {
    description: 'Whole seconds, at least 1: a forecast, never earlier than upstream allows.',
    schema: { type: 'integer', minimum: 1 },
    example: 7,
  },
  'WWW-Authenticate': { description: 'Bearer.', schema: text, example: 'Bearer' },
  Allow: { description: 'The methods that the resource has.', schema: text, example: 'GET, HEAD' },
} as const;

/** References to header fields, for operations. */
export function requestFieldRefs(...names: (keyof typeof requestFields)[]) {
  return names.map((name) => ({ $ref: `#/components/parameters/${name}` }));
}

export function responseFieldRefs(...names: (keyof typeof responseFields)[]) {
  return Object.fromEntries(
    ['X-Correlation-Id' as const, ...names].map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
}
