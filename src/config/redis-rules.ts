import { z } from 'zod';
import { isHost, parseUrl, withoutBrackets } from './texts.ts';

/** Variables that select the Redis topology; at most one may be set. */
const TOPOLOGIES = ['REDIS_URL', 'REDIS_SENTINELS', 'REDIS_CLUSTER'];
/** Variables that need a topology. */
const LOGIN = ['REDIS_USERNAME', 'REDIS_PASSWORD', 'REDIS_TLS'];

/** A Redis server as given by a URL. */
export interface RedisServer {
  readonly host: string;
  readonly port: number;
  /** Database number. */
  readonly database: number;
  /** Empty when the URL has none. */
  readonly username: string;
  readonly password: string;
  readonly tls: boolean;
}

/** Parses `rediss://user:password@host:6380/3`; empty: no server. */
export const redisUrl: z.ZodType<RedisServer | undefined, string> = z.string().transform((text, context) => {
  if (text === '') return undefined;
  const server = parseServer(text);
  if (server) return server;
  context.addIssue(
    'must be a URL such as redis://host:6379/0 (or rediss://): no path but the number of a database, no query, no fragment',
  );
  return z.NEVER;
});

/** Conflicts between the Redis variables. @param given values as set */
export function redisFaults(given: Readonly<Record<string, string | undefined>>): string[] {
  const isSet = (name: string): boolean => given[name] !== undefined;
  const [topology, another] = TOPOLOGIES.filter(isSet);
  if (another !== undefined) return [`${another}: ${topology} is set as well; give one of them`];
  const faults = topology === 'REDIS_URL' ? urlConflicts(given) : [];
  if (topology === undefined) {
    const unused = LOGIN.filter((name) => isSet(name) && !(name === 'REDIS_TLS' && given[name] === 'no'));
    faults.push(...unused.map((name) => `${name}: needs one of ${TOPOLOGIES.join(', ')}`));
  }
  const requires = (name: string, other: string): void => {
    if (isSet(name) && !isSet(other)) faults.push(`${other}: is required with ${name}`);
  };
  requires('REDIS_SENTINELS', 'REDIS_SENTINEL_NAME');
  requires('REDIS_SENTINEL_NAME', 'REDIS_SENTINELS');
  requires('REDIS_SENTINEL_PASSWORD', 'REDIS_SENTINELS');
  requires('REDIS_USERNAME', 'REDIS_PASSWORD');
  return faults;
}

/**
 * The credentials may be in other variables, so that a password can be mounted, but not in both. The URL decides on
 * TLS.
 */
function urlConflicts(given: Readonly<Record<string, string | undefined>>): string[] {
  const url = URL.parse(given['REDIS_URL'] ?? '');
  const hasCredentials = Boolean(url?.username ?? '') || Boolean(url?.password ?? '');
  const twice = ['REDIS_USERNAME', 'REDIS_PASSWORD'].filter(
    (name) => hasCredentials && given[name] !== undefined,
  );
  const faults = twice.map((name) => `${name}: REDIS_URL has credentials as well; give one of them`);
  if (given['REDIS_TLS'] === 'yes')
    faults.push('REDIS_TLS: does not go with REDIS_URL, which says rediss://');
  return faults;
}

/** Redis' default port. */
const DEFAULT_PORT = 6379;

function parseServer(text: string): RedisServer | undefined {
  const url = parseUrl(text, ['redis:', 'rediss:']);
  if (!url || /[?#]/.test(text) || !hasReadableCredentials(text)) return undefined;
  const host = withoutBrackets(url.hostname);
  if (!isHost(host) || !/^(\/\d{0,9})?$/.test(url.pathname)) return undefined;
  return {
    host,
    port: Number(url.port || DEFAULT_PORT),
    database: Number(url.pathname.slice(1)),
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    tls: url.protocol === 'rediss:',
  };
}

/** Whether user and password of a URL can be decoded. */
export function hasReadableCredentials(text: string): boolean {
  const url = URL.parse(text);
  try {
    decodeURIComponent(`${url?.username ?? ''}${url?.password ?? ''}`);
    return url !== null;
  } catch {
    return false;
  }
}
