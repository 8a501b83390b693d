import type { CacheDirectives } from '../upstream/exchange.ts';

/** One element of a list: a token, and its value as a token or a quoted string. Others are passed over. */
const ELEMENT =
  /(?:^|,)[ \t]*([!#$%&'*+.^_`|~\w-]+)(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~\w-]+)))?[^,]*/g;

/** The elements of a field that is a list of directives, by their names in lower case; of several of one name the first. */
function elementsOf(field: string): Map<string, string> {
  const elements = new Map<string, string>();
  for (const [, name = '', quoted, plain] of field.matchAll(ELEMENT)) {
    const key = name.toLowerCase();
    if (!elements.has(key)) elements.set(key, quoted ?? plain ?? '');
  }
  return elements;
}

/** Whole seconds → milliseconds; nothing when it is no number of seconds. */
function seconds(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) * 1000 : undefined;
}

/** `Cache-Control` of a request (RFC 9111 section 5.2.1): what is not understood is ignored. */
export function parseCacheDirectives(cacheControl: string | undefined): CacheDirectives {
  if (cacheControl === undefined) return WHATEVER;
  const directives = elementsOf(cacheControl);
  const maxAgeMs = directives.has('no-cache') ? 0 : (seconds(directives.get('max-age')) ?? Infinity);
  return { maxAgeMs, onlyIfCached: directives.has('only-if-cached') };
}

const WHATEVER: CacheDirectives = { maxAgeMs: Infinity, onlyIfCached: false };

/** `Prefer: wait=N` (RFC 7240 section 4.3), in milliseconds; nothing when no such preference is understood. */
export function parsePreferWait(prefer: string | string[] | undefined): number | undefined {
  if (prefer === undefined) return undefined;
  return seconds(elementsOf([prefer].flat().join(',')).get('wait'));
}
