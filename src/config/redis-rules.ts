import { z } from 'zod';
import { isHost, parseUrl, withoutBrackets } from './texts.ts';

/** The ways to Redis, of which one can be given. */
const WAYS = ['REDIS_URL', 'REDIS_SENTINELS', 'REDIS_CLUSTER'];
/** What is told to the Redis that one of the ways leads to. */
const LOGIN = ['REDIS_USERNAME', 'REDIS_PASSWORD', 'REDIS_TLS'];

/** A Redis server, as a URL says where it is. */
export interface RedisServer {
  readonly host: string;
  readonly port: number;
  /** The number of its database. */
  readonly database: number;
  /** As the URL says them; empty texts where it says none. */
  readonly username: string;
  readonly password: string;
  readonly tls: boolean;
}

/** `rediss://user:password@host:6380/3` → the server; an empty text is none. */
export const redisUrl: z.ZodType<RedisServer | undefined, string> = z.string().transform((text, context) => {
  if (text === '') return undefined;
  const server = serverOf(text);
  if (server) return server;
  context.addIssue(
    'must be a URL such as redis://host:6379/0 (or rediss://): no path but the number of a database, no query, no fragment',
  );
  return z.NEVER;
});

/** What the variables about Redis say that does not go together, by the texts that were given. */
export function faultsOfRedis(given: Readonly<Record<string, string | undefined>>): string[] {
  const isGiven = (name: string): boolean => given[name] !== undefined;
  const [way, another] = WAYS.filter(isGiven);
  if (another !== undefined) return [`${another}: ${way} is set as well; give one way to Redis`];
  const faults = way === 'REDIS_URL' ? faultsBesideUrl(given) : [];
  if (way === undefined) {
    const needless = LOGIN.filter((name) => isGiven(name) && !(name === 'REDIS_TLS' && given[name] === 'no'));
    faults.push(...needless.map((name) => `${name}: needs one of ${WAYS.join(', ')}`));
  }
  const needs = (name: string, other: string): void => {
    if (isGiven(name) && !isGiven(other)) faults.push(`${other}: is required with ${name}`);
  };
  needs('REDIS_SENTINELS', 'REDIS_SENTINEL_NAME');
  needs('REDIS_SENTINEL_NAME', 'REDIS_SENTINELS');
  needs('REDIS_SENTINEL_PASSWORD', 'REDIS_SENTINELS');
  needs('REDIS_USERNAME', 'REDIS_PASSWORD');
  return faults;
}

/** The URL may leave the login to the other variables, so that a password can be mounted; it says itself whether TLS is used. */
function faultsBesideUrl(given: Readonly<Record<string, string | undefined>>): string[] {
  const url = URL.parse(given['REDIS_URL'] ?? '');
  const saysLogin = Boolean(url?.username ?? '') || Boolean(url?.password ?? '');
  const twice = ['REDIS_USERNAME', 'REDIS_PASSWORD'].filter((name) => saysLogin && given[name] !== undefined);
  const faults = twice.map((name) => `${name}: REDIS_URL has credentials as well; give one of them`);
  if (given['REDIS_TLS'] === 'yes')
    faults.push('REDIS_TLS: does not go with REDIS_URL, which says rediss://');
  return faults;
}

/** Redis' own port, where a URL says none. */
const REDIS_PORT = 6379;

function serverOf(text: string): RedisServer | undefined {
  const url = parseUrl(text, ['redis:', 'rediss:']);
  if (!url || /[?#]/.test(text) || !hasReadableCredentials(text)) return undefined;
  const host = withoutBrackets(url.hostname);
  if (!isHost(host) || !/^(\/\d{0,9})?$/.test(url.pathname)) return undefined;
  return {
    host,
    port: Number(url.port || REDIS_PORT),
    database: Number(url.pathname.slice(1)),
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    tls: url.protocol === 'rediss:',
  };
}

/** Whether the user and password of a URL are well escaped: who connects by it would else stumble over them. */
export function hasReadableCredentials(text: string): boolean {
  const url = URL.parse(text);
  try {
    decodeURIComponent(`${url?.username ?? ''}${url?.password ?? ''}`);
    return url !== null;
  } catch {
    return false;
  }
}
