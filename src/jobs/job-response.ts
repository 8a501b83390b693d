import type { RawResponse } from '../http/server-hooks.ts';
import type { JobResult, ReadResult } from '../upstream/exchange.ts';

/** A finished job may be kept by its reader for so long, in milliseconds (contract section 3). */
const FINISHED_GOOD_FOR_MS = 3_600_000;

/**
 * A job as it goes over the wire: 200, or 304 to a reader that has these bytes already.
 * @param activeFreshMs how long an unfinished job is fresh
 */
export function jobResponse(
  result: JobResult,
  activeFreshMs: number,
  ifNoneMatch: string | undefined,
): RawResponse {
  const { copy } = result;
  const ageMs = Math.max(0, performance.now() - copy.readAt);
  const ttl = wholeSeconds(copy.finished ? FINISHED_GOOD_FOR_MS : activeFreshMs - ageMs);
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
 * RFC 9211. A time to live is negative when the copy is stale. All that stands in it is a token or a whole number: there is nothing
 * that would have to be quoted.
 */
function cacheStatus({ source, forwarded, collapsed, stale }: ReadResult, ttl: number): string {
  const how = forwarded ? `fwd=${forwarded}` : 'hit';
  const detail = source === 'upstream' ? '' : `;detail=${stale ?? source}`;
  return `itwin-jobs-gateway;${how}${collapsed ? ';collapsed' : ''};ttl=${ttl}${detail}`;
}

/** Weak comparison (RFC 9110 section 13.1.2): `W/` makes no difference. */
function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.trim() === '*' || entityTags(ifNoneMatch).includes(etag);
}

/** A list of entity tags (RFC 9110 sections 5.6.1 and 8.8.3), elements that are empty included; none if it is anything else. */
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
