import { serializeList, Token } from 'structured-headers';
import type { JobCopy } from '../upstream/copy.ts';
import type { Found } from '../upstream/exchange.ts';

/** A finished job may be kept by its reader for so long, in milliseconds (contract section 3). */
const FINISHED_GOOD_FOR_MS = 3_600_000;

/** A job as it goes over the wire: 200, or 304 to a reader that has these bytes already. */
export interface JobAnswer {
  readonly status: 200 | 304;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

/**
 * @param copy the job that was found
 * @param activeFreshMs how long an unfinished job is fresh
 */
export function answerJob(
  found: Found,
  copy: JobCopy,
  activeFreshMs: number,
  ifNoneMatch: string | undefined,
): JobAnswer {
  const ageMs = Math.max(0, performance.now() - copy.readAt);
  const goodForMs = copy.finished ? FINISHED_GOOD_FOR_MS : activeFreshMs - ageMs;
  const age = wholeSeconds(ageMs);
  const headers = {
    etag: copy.etag,
    age: String(age),
    'cache-control': `private, max-age=${age + Math.max(0, wholeSeconds(goodForMs))}`,
    'cache-status': cacheStatus(found, wholeSeconds(goodForMs)),
  };
  if (matches(ifNoneMatch, copy.etag)) return { status: 304, headers, body: undefined };
  return { status: 200, headers: { ...headers, 'content-type': copy.contentType }, body: copy.body };
}

/** RFC 9211. A time to live is negative when the copy is stale. */
function cacheStatus({ source, forwarded, collapsed, stale }: Found, ttl: number): string {
  const params = new Map<string, boolean | number | Token>();
  if (forwarded) params.set('fwd', new Token(forwarded));
  else params.set('hit', true);
  if (collapsed) params.set('collapsed', true);
  params.set('ttl', ttl);
  if (source !== 'upstream') params.set('detail', new Token(stale ?? source));
  return serializeList([[new Token('itwin-jobs-gateway'), params]]);
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
