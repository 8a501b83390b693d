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
    about: 'Maximum number of open connections; further ones are closed at once.',
    schema: wholeNumber(1, 1_000_000),
  },
  CORS_ORIGINS: {
    default: '',
    about: 'Origins whose pages may read jobs, as https://host,https://host; * for all. Empty: none.',
    schema: origins,
  },
  ITWIN_API_URL: {
    default: 'https://api.bentley.com',
    about:
      'Base URL of the iTwin API. The dev and qa APIs need https://qa-ims.bentley.com in ITWIN_TOKEN_URL.',
    schema: baseUrl,
  },
  ITWIN_TOKEN_URL: {
    default: 'https://ims.bentley.com/connect/token',
    about: 'Endpoint that exchanges client credentials for a token.',
    schema: endpoint,
  },
  ITWIN_CLIENT_ID: {
    about: 'Id of the service client. ITWIN_CLIENT_ID_FILE reads it from a file instead.',
    schema: printable,
  },
  ITWIN_CLIENT_SECRET: {
    about: 'Secret of the service client. ITWIN_CLIENT_SECRET_FILE reads it from a file instead.',
    schema: anything,
  },
  ITWIN_CLIENT_AUTH: {
    default: 'basic',
    about: 'How the client authenticates at the token endpoint: basic (HTTP Basic) or body (form fields).',
    schema: z.enum(['basic', 'body'], { error: 'must be basic or body' }),
  },
  ITWIN_SCOPE: { default: 'itwin-platform', about: 'Scope to request.', schema: scopes },
  UPSTREAM_LIMITS: {
    default: '500/1m,5000/1h',
    about: 'What the subscription allows, as calls/window. All limits hold at once.',
    schema: quotaLimits,
  },
  LIMIT_MARGIN: {
    default: '40ms',
    about: 'By how much each window is taken longer than it is, or 0.5 % if that is more.',
    schema: duration('0ms', '1m'),
  },
  LONGEST_CLOSING: {
    default: '1h',
    about: 'Longest pause that an upstream Retry-After may cause. A longer one is cut to it.',
    schema: duration('1s', '31d'),
  },
  UPSTREAM_CONCURRENCY: {
    default: '10',
    about: 'Maximum number of upstream calls at one time.',
    schema: wholeNumber(1, 1000),
  },
  UPSTREAM_TIMEOUT: {
    default: '15s',
    about: 'Longest duration of an upstream call or a token request.',
    schema: duration('10ms', '10m'),
  },
  PATIENCE: {
    default: '10s',
    about: 'Longest time that a read waits for slots upstream.',
    schema: duration('100ms', '1h'),
  },
  QUEUE_LIMIT: {
    default: '1000',
    about:
      'Maximum number of waiting upstream reads. When full, the caller with most waiting is answered 429.',
    schema: wholeNumber(1, 100_000),
  },
  ACTIVE_FRESH: {
    default: '5s',
    about: 'How long a copy of an unfinished job is fresh.',
    schema: duration('0ms', '1h'),
  },
  CALLER_STREAMS: {
    default: '1000',
    about: 'Maximum number of event streams per caller and process.',
    schema: wholeNumber(1, 100_000),
  },
  CALLER_QUEUE: {
    default: '',
    about: 'Maximum number of waiting upstream reads per caller; more are answered 429. Empty: QUEUE_LIMIT.',
    schema: orNothing(wholeNumber(1, 100_000)),
  },
  REFRESH_WAIT: {
    default: '1s',
    about: 'How long a read waits for a refresh before it gets the stale copy.',
    schema: duration('0ms', '1m'),
  },
  ACTIVE_STALE: {
    default: '1h',
    about: 'Maximum age at which a stale copy of an unfinished job is served.',
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
    about: "Size of this process's own copies, in bytes of job documents; at most half of Node's heap.",
    schema: size(2 ** 20, getHeapStatistics().heap_size_limit / 2),
  },
  ...redisVariables,
  REPLICAS: {
    default: '1',
    about: 'Maximum number of replicas. Each uses its part of UPSTREAM_LIMITS while Redis is away.',
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
    about: 'File with the callers: digests of keys, or clients of tokens. Read again when it changes.',
    schema: anything,
  },
  JWT_ISSUER: {
    default: '',
    about: "Issuer of callers' tokens, exactly as in their claim iss. Required with AUTH=jwt.",
    schema: protectedUrl,
  },
  JWT_AUDIENCE: {
    default: '',
    about: 'Audience that their claim aud must contain. Required with AUTH=jwt.',
    schema: anything,
  },
  JWT_JWKS_URL: {
    default: '',
    about: "URL of the issuer's keys. Empty: from its discovery document.",
    schema: protectedUrl,
  },
  JWT_ITWINS_CLAIM: {
    default: 'itwins',
    about: 'Claim with the iTwins that a token may read. For tokens without it, the callers file decides.',
    schema: anything,
  },
  DRAIN_DELAY: {
    default: '5s',
    about: 'How long requests are still served after SIGTERM.',
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
    about: 'Commit that the build was made from, for log and metrics. The image sets it.',
    schema: z
      .string()
      .regex(/^[\w.+-]{1,64}$/, 'must be 1 to 64 letters, digits, dots, dashes, underscores or +'),
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    default: '',
    about: 'Base URL of the OTLP/HTTP collector for traces. Empty: no tracing.',
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
