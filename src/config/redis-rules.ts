import { z } from 'zod';

/** The ways to Redis, of which one can be given. */
const WAYS = ['REDIS_URL', 'REDIS_SENTINELS', 'REDIS_CLUSTER'];
/** What is told to the Redis that one of the ways leads to. */
const LOGIN = ['REDIS_USERNAME', 'REDIS_PASSWORD', 'REDIS_TLS'];

export const redisUrl: z.ZodType<string, string> = z
  .string()
  .refine((text) => text === '' || isRedisUrl(text), {
    error: 'must be a URL that begins with redis:// or rediss://',
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

function isRedisUrl(text: string): boolean {
  return /^rediss?:$/.test(URL.parse(text)?.protocol ?? '') && hasReadableCredentials(text);
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
