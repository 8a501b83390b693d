import { getHeapStatistics } from 'node:v8';
import { z } from 'zod';
import { baseUrl, baseUrlOrNone, endpoint, host, printable, protectedUrl, scopes } from './schemas.ts';
import { redisVariables } from './redis-variables.ts';
import { duration, origins, orNothing, quotaLimits, size, wholeNumber } from './units.ts';

/** An environment variable: its default as text (absent: required), its description, and its schema. */
interface Variable<T> {
  readonly default?: string;
  readonly about: string;
  readonly schema: z.ZodType<T, string>;
}

const anything = z.string();
/** All settings (docs/CONTRACT.md, section 7), with default, description and schema. `npm run settings` reads them. */
export const variables = {
  HOST: { default: '0.0.0.0', about: 'Address to listen on.', schema: host },
  PORT: {
    default: '3000',
    about: 'Port to listen on; 0 takes a free one.',
    schema: wholeNumber(0, 65_535),
  },
  MAX_CONNECTIONS: {
    default: '10000',
    about: 'Most connections open at a time; further ones are closed at once.',
    schema: wholeNumber(1, 1_000_000),
  },
  CORS_ORIGINS: {
    default: '',
    about:
      'Origins whose pages may read jobs in a browser, as https://host,https://host; * for all. Empty: none.',
    schema: origins,
  },
  ITWIN_API_URL: {
    default: 'https://api.bentley.com',
    about:
      'The API to stand in front of. The dev and qa APIs pair with https://qa-ims.bentley.com in ITWIN_TOKEN_URL.',
    schema: baseUrl,
  },
  ITWIN_TOKEN_URL: {
    default: 'https://ims.bentley.com/connect/token',
    about: 'Where client credentials are exchanged for a token.',
    schema: endpoint,
  },
  ITWIN_CLIENT_ID: {
    about: 'The service client. Required; ITWIN_CLIENT_ID_FILE reads it from a file instead.',
    schema: printable,
  },
  ITWIN_CLIENT_SECRET: {
    about: 'Its secret. Required; ITWIN_CLIENT_SECRET_FILE reads it from a file instead.',
    schema: anything,
  },
  ITWIN_CLIENT_AUTH: {
    default: 'basic',
    about: 'How the client authenticates at the token endpoint: basic (HTTP Basic) or body (form fields).',
    schema: z.enum(['basic', 'body'], { error: 'must be basic or body' }),
  },
  ITWIN_SCOPE: { default: 'itwin-platform', about: 'The scope asked for.', schema: scopes },
  UPSTREAM_LIMITS: {
    default: '500/1m,5000/1h',
    about: 'What the subscription allows, as calls/window; all hold at once.',
    schema: quotaLimits,
  },
  LIMIT_MARGIN: {
    default: '40ms',
    about: 'By how much (or 0.5 % if that is more) each window is taken longer than it is.',
    schema: duration('0ms', '1m'),
  },
  LONGEST_CLOSING: {
    default: '1h',
    about: "Longest pause that upstream's Retry-After may ask for; a longer one is cut to it.",
    schema: duration('1s', '31d'),
  },
  UPSTREAM_CONCURRENCY: {
    default: '10',
    about: 'Most upstream calls under way at a time.',
    schema: wholeNumber(1, 1000),
  },
  UPSTREAM_TIMEOUT: {
    default: '15s',
    about: 'Longest upstream call, token requests included.',
    schema: duration('10ms', '10m'),
  },
  PATIENCE: {
    default: '10s',
    about: 'Longest wait of a read for its slots upstream.',
    schema: duration('100ms', '1h'),
  },
  QUEUE_LIMIT: {
    default: '1000',
    about: 'Most upstream reads waiting. When full, the caller with most waiting is answered 429.',
    schema: wholeNumber(1, 100_000),
  },
  ACTIVE_FRESH: {
    default: '5s',
    about: 'How long a copy of an unfinished job is fresh.',
    schema: duration('0ms', '1h'),
  },
  CALLER_STREAMS: {
    default: '1000',
    about: 'Most event streams that one caller may have open at this process.',
    schema: wholeNumber(1, 100_000),
  },
  CALLER_QUEUE: {
    default: '',
    about:
      'Most upstream reads of one caller waiting; its further ones are answered 429. Empty: as QUEUE_LIMIT.',
    schema: orNothing(wholeNumber(1, 100_000)),
  },
  REFRESH_WAIT: {
    default: '1s',
    about: 'How long a read waits for the refresh of a copy that could be served as stale.',
    schema: duration('0ms', '1m'),
  },
  ACTIVE_STALE: {
    default: '1h',
    about: 'Up to which age a copy of an unfinished job is served when there is no newer one.',
    schema: duration('0ms', '30d'),
  },
  TERMINAL_TTL: {
    default: '30d',
    about: 'How long a finished job is kept in the shared store.',
    schema: duration('1s', '365d'),
  },
  NEGATIVE_TTL: {
    default: '10s',
    about: 'How long an unknown job is remembered as unknown.',
    schema: duration('0ms', '1h'),
  },
  MEMORY_CACHE_SIZE: {
    default: '64mb',
    about:
      "This process's own copies, in bytes of job documents; at most half of Node's heap (--max-old-space-size).",
    schema: size(2 ** 20, getHeapStatistics().heap_size_limit / 2),
  },
  ...redisVariables,
  REPLICAS: {
    default: '1',
    about:
      'How many replicas share the quota at most: each takes its part of UPSTREAM_LIMITS while Redis is away.',
    schema: wholeNumber(1, 1000),
  },
  AUTH: {
    default: 'keys',
    about:
      'How callers authenticate: keys (CALLERS_FILE), jwt (tokens of JWT_ISSUER), keys,jwt (either) or off.',
    schema: z.enum(['keys', 'jwt', 'keys,jwt', 'off'], { error: 'must be keys, jwt, keys,jwt or off' }),
  },
  AUTH_OFF_BEHIND_TRUSTED_NETWORK: {
    default: 'no',
    about: 'yes allows AUTH=off on an address that is not loopback.',
    schema: z.enum(['yes', 'no'], { error: 'must be yes or no' }),
  },
  CALLERS_FILE: {
    default: 'config/callers.json',
    about:
      'The callers, with the digests of their keys or the client of their tokens; read again when it changes.',
    schema: anything,
  },
  JWT_ISSUER: {
    default: '',
    about: "Who issues callers' tokens, exactly as their claim iss says it. Required with AUTH=jwt.",
    schema: protectedUrl,
  },
  JWT_AUDIENCE: {
    default: '',
    about: 'What their claim aud must name. Required with AUTH=jwt.',
    schema: anything,
  },
  JWT_JWKS_URL: {
    default: '',
    about: "Where the issuer's keys are. Empty: its discovery document says it.",
    schema: protectedUrl,
  },
  JWT_ITWINS_CLAIM: {
    default: 'itwins',
    about: 'The claim that lists the iTwins which a token may read; without it the callers file says them.',
    schema: anything,
  },
  DRAIN_DELAY: {
    default: '5s',
    about: 'After SIGTERM: how long requests are still taken.',
    schema: duration('0ms', '10m'),
  },
  LOG_LEVEL: {
    default: 'info',
    about: 'fatal, error, warn, info, debug, trace or silent.',
    schema: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      error: 'must be fatal, error, warn, info, debug, trace or silent',
    }),
  },
  REVISION: {
    default: 'unknown',
    about: 'The commit that the build was made from, for log and metrics. The image sets it.',
    schema: z
      .string()
      .regex(/^[\w.+-]{1,64}$/, 'must be 1 to 64 letters, digits, dots, dashes, underscores or +'),
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    default: '',
    about: 'Base URL of the OTLP/HTTP collector that traces are handed to. Empty: no tracing.',
    schema: baseUrlOrNone,
  },
} satisfies Record<string, Variable<unknown>>;

/** Variables that can be set as `NAME_FILE`, the path of a mounted file, instead. */
export const fromFiles = [
  'ITWIN_CLIENT_ID',
  'ITWIN_CLIENT_SECRET',
  'REDIS_PASSWORD',
  'REDIS_SENTINEL_PASSWORD',
] as const;

export type Variables = typeof variables;
/** The parsed values, by the names of their variables. */
export type Values = { readonly [Name in keyof Variables]: z.output<Variables[Name]['schema']> };
