import type { CacheDirectives } from '../upstream/exchange.ts';

/** One element of a list: a token, and its value as a token or a quoted string. Anything else is skipped. */
const ELEMENT =
  /(?:^|,)[ \t]*([!#$%&'*+.^_`|~\w-]+)(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~\w-]+)))?[^,]*/g;

/** Parses a list of directives into values by lower-case name. Of a repeated name the first counts. */
function elementsOf(field: string): Map<string, string> {
  const elements = new Map<string, string>();
  for (const [, name = '', quoted, plain] of field.matchAll(ELEMENT)) {
    const key = name.toLowerCase();
    if (!elements.has(key)) elements.set(key, quoted ?? plain ?? '');
  }
  return elements;
}

/** Converts whole seconds to milliseconds. @returns nothing for any other text */
function seconds(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) * 1000 : undefined;
}

/** Parses `Cache-Control` of a request (RFC 9111 section 5.2.1). Unknown directives are ignored. */
export function parseCacheDirectives(cacheControl: string | undefined): CacheDirectives {
  if (cacheControl === undefined) return NO_DIRECTIVES;
  const directives = elementsOf(cacheControl);
  const maxAgeMs = directives.has('no-cache') ? 0 : (seconds(directives.get('max-age')) ?? Infinity);
  return { maxAgeMs, onlyIfCached: directives.has('only-if-cached') };
}

const NO_DIRECTIVES: CacheDirectives = { maxAgeMs: Infinity, onlyIfCached: false };

/** Parses `Prefer: wait=N` (RFC 7240 section 4.3) to milliseconds. @returns nothing if there is no valid one */
export function parsePreferWait(prefer: string | string[] | undefined): number | undefined {
  if (prefer === undefined) return undefined;
  return seconds(elementsOf([prefer].flat().join(',')).get('wait'));
}
