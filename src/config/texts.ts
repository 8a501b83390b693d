import { isIP, isIPv6 } from 'node:net';

/**
 * Checks that apply to every value. A carriage return from a Windows file, or quotes kept by `docker run --env-file`, would
 * otherwise show much later, for example as refused credentials.
 * @returns the fault, if any
 */
export function textFault(text: string): string | undefined {
  // Node replaces invalid UTF-8 by U+FFFD.
  if (/[\p{Cc}\uFFFD]/u.test(text)) return 'must be UTF-8 text without control characters';
  if (/^(["']).*\1$/.test(text)) return 'must not be in quotes: they would be part of the value';
  return undefined;
}

/**
 * Parses a URL strictly, as `scheme://host…`. `URL` itself silently corrects others: it drops tabs and line ends,
 * accepts `https:host`, and parses `redis:host` without a host.
 * @param protocols with their colons: `https:`
 */
export function parseUrl(text: string, protocols: readonly string[]): URL | undefined {
  const url = URL.parse(text);
  if (!url || !/^\w+:\/\/[^/\\\s][^\\\s]*$/.test(text) || !protocols.includes(url.protocol)) return undefined;
  return url.hostname !== '' && url.port !== '0' ? url : undefined;
}

/** Whether the text is an IP address or a DNS name (underscores are allowed, for containers). */
export function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^[a-z\d_]([\w-]*\w)?(\.[a-z\d_]([\w-]*\w)?)*\.?$/i.test(text);
}

/** Removes the brackets of an IPv6 address: `[::1]` → `::1`. */
export function withoutBrackets(text: string): string {
  const inside = /^\[(.+)\]$/.exec(text)?.[1];
  return inside !== undefined && isIPv6(inside) ? inside : text;
}
