import { isIP, isIPv6 } from 'node:net';

/**
 * What is wrong with a value whatever it is for, or nothing. A carriage return of a file from Windows, or the quotes that
 * `docker run --env-file` leaves where they are, would else fail much later as something else: as credentials that are refused.
 */
export function faultOfText(text: string): string | undefined {
  // Bytes that are no UTF-8 have become U+FFFD on their way here.
  if (/[\p{Cc}\uFFFD]/u.test(text)) return 'must be UTF-8 text without control characters';
  if (/^(["']).*\1$/.test(text)) return 'must not be in quotes: they would be part of the value';
  return undefined;
}

/**
 * A URL as it is to be written, `scheme://host` and what follows, or nothing. `URL` itself would mend others without a word: it
 * leaves out tabs and line ends and takes `https:host`, and `redis:host` is to it one without a host.
 * @param protocols with their colons: `https:`
 */
export function parseUrl(text: string, protocols: readonly string[]): URL | undefined {
  const url = URL.parse(text);
  if (!url || !/^\w+:\/\/[^/\\\s][^\\\s]*$/.test(text) || !protocols.includes(url.protocol)) return undefined;
  return url.hostname !== '' && url.port !== '0' ? url : undefined;
}

/** Whether a server can be named so: an address, or a name as DNS has them (and an underscore, as containers do). */
export function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^[a-z\d_]([\w-]*\w)?(\.[a-z\d_]([\w-]*\w)?)*\.?$/i.test(text);
}

/** `[::1]` → `::1`: in brackets as in a URL; any other text stays as it is. */
export function withoutBrackets(text: string): string {
  const inside = /^\[(.+)\]$/.exec(text)?.[1];
  return inside !== undefined && isIPv6(inside) ? inside : text;
}
