import fc from 'fast-check';

/** A finished and an unfinished job. */
export const JOB = '3fa85f64-5717-4562-b3fc-2c963f66afa6';
export const ACTIVE_JOB = '7c9e6679-7425-40de-944b-e07fc1f90ae7';

/** Placeholder for the valid key, which differs per run: generated requests depend only on the seed. */
export const KEY = '{key}';

const anyCase = (text: string): fc.Arbitrary<string> =>
  fc
    .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map((upper) => upper.map((isUpper, at) => (isUpper ? text[at]?.toUpperCase() : text[at])).join(''));
const sign = (least: number): fc.Arbitrary<string> =>
  fc.integer({ min: least, max: 0xff }).map((code) => (code === 0x7f ? '~' : String.fromCharCode(code)));
/** Bytes that do not end a path or line. */
const pathText = fc.string({ unit: sign(0x21) });
/** Bytes allowed in a header value. */
const fieldText = fc.string({ unit: sign(0x20) });
const percented = fc
  .uint8Array({ maxLength: 40 })
  .map((bytes) => [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''));
const unicode = fc.string({ unit: 'grapheme', maxLength: 30 }).map(encodeURIComponent);

const id = fc.oneof(
  { weight: 6, arbitrary: anyCase(JOB) },
  { weight: 2, arbitrary: anyCase(ACTIVE_JOB) },
  fc.uuid(),
  // Nearly a UUID: one character inserted, removed or changed.
  fc
    .tuple(fc.nat(35), fc.constantFrom('', '-', 'g', '0', '%', '%20', '/', '.', '{'))
    .map(([at, sign]) => JOB.slice(0, at) + sign + JOB.slice(at + 1)),
  fc
    .tuple(fc.nat(36), fc.constantFrom('%00', '%0d%0a', '%2f', '0', 'é', ' ', ';a', '#a'))
    .map(([at, sign]) => JOB.slice(0, at) + sign + JOB.slice(at)),
  percented,
  unicode,
  pathText,
  fc.integer({ min: 100, max: 20_000 }).map((length) => 'a'.repeat(length)),
  fc.constantFrom('', '.', '..', '%2e%2e', '__proto__', 'events', 'constructor', 'null', 'undefined', '%'),
);
const query = fc.oneof(
  { weight: 4, arbitrary: fc.constant('') },
  pathText.map((text) => `?${text}`),
  percented.map((text) => `?ids=${text}`),
);
const jobTarget = fc.tuple(id, query).map(([job, rest]) => `/contextcapture/jobs/${job}${rest}`);
const target = fc.oneof(
  { weight: 8, arbitrary: jobTarget },
  jobTarget.map((path) => `http://gateway${path}`),
  pathText.map((text) => `/${text}`),
  percented.map((text) => `/${text}`),
  fc.constantFrom(
    '/',
    '*',
    '//',
    '/health/live',
    '/metrics',
    '/contextcapture/jobs',
    'http://',
    'gateway:443',
    '?',
  ),
);
const method = fc.oneof(
  { weight: 8, arbitrary: fc.constant('GET') },
  fc.constantFrom(
    'POST',
    'PUT',
    'PATCH',
    'DELETE',
    'OPTIONS',
    'TRACE',
    'PROPFIND',
    'QUERY',
    'SEARCH',
    'CONNECT',
  ),
  fc.constantFrom('get', 'FOO', 'PRI', '', 'G ET', '\0'),
);

const authorization = fc.oneof(
  { weight: 8, arbitrary: fc.constant(`Bearer ${KEY}`) },
  fc.constantFrom(
    '',
    'Bearer',
    `Basic ${KEY}`,
    `bearer  ${KEY}  `,
    `Bearer ${KEY}=`,
    `Bearer ${KEY},${KEY}`,
    KEY,
  ),
  fieldText.map((text) => `Bearer ${text}`),
  fieldText,
);
const understood = fc.oneof(
  fc.tuple(fc.constant('X-Correlation-Id'), fieldText),
  fc.tuple(
    fc.constant('If-None-Match'),
    fc.oneof(fieldText, fc.constantFrom('*', 'W/"x"', '"', '"a", "b', 'W/')),
  ),
  fc.tuple(
    fc.constant('Accept'),
    fc.oneof(fieldText, fc.constantFrom('text/html', '*/*;q=0', 'application/xml')),
  ),
  fc.tuple(fc.constant('Range'), fc.oneof(fieldText, fc.constantFrom('bytes=0-0', 'bytes=-1', 'lines=1'))),
  fc.tuple(
    fc.constant('Accept-Encoding'),
    fc.oneof(fieldText, fc.constantFrom('identity;q=0', 'gzip', '*;q=0')),
  ),
  fc.tuple(fc.constant('If-Modified-Since'), fieldText),
  fc.tuple(fc.constant('If-Match'), fieldText),
  fc.tuple(fc.constant('Content-Type'), fieldText),
  fc.tuple(fc.constant('Expect'), fc.constantFrom('100-continue', 'nonsense', '')),
  fc.tuple(fc.constant('Origin'), fieldText),
  fc.tuple(fc.constant('Cookie'), fieldText),
  fc.tuple(fc.constant('Forwarded'), fieldText),
  fc.tuple(fc.constant('X-HTTP-Method-Override'), fc.constantFrom('DELETE', 'nonsense')),
  fc.tuple(
    fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,30}$/).map((name) => `x-${name}`),
    fieldText,
  ),
);
/** Cache and queue directives, including unsupported ones, none of which is an error. */
const asking = fc.oneof(
  fc.tuple(
    fc.constant('Cache-Control'),
    fc.oneof(fieldText, fc.constantFrom('max-age=x', 'no-store', 'max-age=-1')),
  ),
  fc.tuple(
    fc.constant('Prefer'),
    fc.oneof(fieldText, fc.constantFrom('wait=x', 'wait=-1', 'wait', 'respond-async')),
  ),
);
const framing = fc.constantFrom(
  'Content-Length: 0',
  'Content-Length: 3',
  'Content-Length: 70000',
  'Content-Length: -1',
  'Content-Length: 1e3',
  'Content-Length: 99999999999999999999',
  'Content-Length: 1\r\nContent-Length: 2',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: x',
  'Transfer-Encoding: chunked\r\nContent-Length: 3',
  'Connection: close',
  'Connection: upgrade\r\nUpgrade: h2c',
  'Keep-Alive: x',
  'TE: x',
  'Host: another',
);
const line = ([name, value]: [string, string]): string => `${name}: ${value}`;
const lines = fc.array(fc.oneof({ weight: 9, arbitrary: fc.oneof(understood, asking).map(line) }, framing), {
  maxLength: 5,
});
const body = fc.oneof(
  { weight: 4, arbitrary: fc.constant('') },
  fc.constantFrom('abc', '{}', '3\r\nabc\r\n0\r\n\r\n', '0\r\n\r\n', 'zz\r\n', 'GET / HTTP/1.1\r\n\r\n'),
  fieldText,
);
const version = fc.oneof(
  { weight: 12, arbitrary: fc.constant('HTTP/1.1') },
  fc.constantFrom('HTTP/1.0', 'HTTP/9.9', ''),
);
const host = fc.oneof({ weight: 12, arbitrary: fc.constant(['Host: gateway']) }, fc.constant([]));
const key = fc.option(
  authorization.map((text) => `Authorization: ${text}`),
  { freq: 8 },
);

/** Any request with a complete head, so that it is answered at once. */
export const anyRequest = fc
  .tuple(method, target, version, host, key, lines, body)
  .map(([verb, path, protocol, first, credential, others, rest]) =>
    [
      `${verb} ${path} ${protocol}`,
      ...first,
      ...(credential === null ? [] : [credential]),
      ...others,
      '',
      rest,
    ].join('\r\n'),
  );

/** An authorized read of a job with headers that must not matter, except `If-None-Match: *`. */
export const aRead = fc
  .tuple(fc.oneof(anyCase(JOB), anyCase(ACTIVE_JOB)), fc.array(understood.map(line), { maxLength: 6 }))
  .map(([job, others]) =>
    [
      `GET /contextcapture/jobs/${job} HTTP/1.1`,
      'Host: gateway',
      `Authorization: Bearer ${KEY}`,
      ...others,
      '',
      '',
    ].join('\r\n'),
  );
