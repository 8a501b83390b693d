import type { RawResponse } from '../http/server-hooks.ts';
import type { JobResult, ReadResult } from '../upstream/exchange.ts';

/** How long a caller may cache a finished job, in milliseconds (docs/CONTRACT.md, section 3). */
const FINISHED_FRESH_MS = 3_600_000;

/**
 * The response to a read: 200 with the job, or 304 if the caller has these bytes already.
 * @param activeFreshMs how long an unfinished job is fresh
 */
export function jobResponse(
  result: JobResult,
  activeFreshMs: number,
  ifNoneMatch: string | undefined,
): RawResponse {
  const { copy } = result;
  const ageMs = Math.max(0, performance.now() - copy.readAt);
  const ttl = wholeSeconds(copy.finished ? FINISHED_FRESH_MS : activeFreshMs - ageMs);
  const age = wholeSeconds(ageMs);
  const { etag, contentType, body } = copy;
  const maxAge = age + Math.max(0, ttl);
  const head = ['etag', etag, 'age', String(age), 'cache-control', `private, max-age=${maxAge}`];
  head.push('cache-status', cacheStatus(result, ttl));
  if (matches(ifNoneMatch, etag)) return { status: 304, head, body: undefined };
  head.push('content-type', contentType, 'content-length', String(body.length));
  return { status: 200, head, body };
}

/**
 * `Cache-Status` (RFC 9211). The time to live of a stale copy is negative. All values are tokens or whole numbers, so
 * that none is quoted.
 */
function cacheStatus({ source, forwarded, collapsed, stale }: ReadResult, ttl: number): string {
  const outcome = forwarded ? `fwd=${forwarded}` : 'hit';
  const detail = source === 'upstream' ? '' : `;detail=${stale ?? source}`;
  return `itwin-jobs-gateway;${outcome}${collapsed ? ';collapsed' : ''};ttl=${ttl}${detail}`;
}

/** Weak comparison (RFC 9110 section 13.1.2): `W/` makes no difference. */
function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.trim() === '*' || entityTags(ifNoneMatch).includes(etag);
}

/**
 * Parses a list of entity tags (RFC 9110 sections 5.6.1 and 8.8.3), which may have empty elements.
 * @returns none if it is invalid
 */
function entityTags(field: string): string[] {
  const element = /[ \t]*(?:(?:W\/)?("[^"]*"))?[ \t]*(?:,|$)/y;
  const tags: string[] = [];
  while (element.lastIndex < field.length) {
    const match = element.exec(field);
    if (!match) return [];
    if (match[1] !== undefined) tags.push(match[1]);
  }
  return tags;
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000);
}
