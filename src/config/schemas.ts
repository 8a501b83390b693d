import { z } from 'zod';
import { isHost, parseUrl, withoutBrackets } from './texts.ts';
import { isLoopback } from './units.ts';

/** Form of an address to listen on. Whether it belongs to this machine shows when listening. */
export const host = z
  .string()
  .transform(withoutBrackets)
  .refine(isHost, { error: 'must be an address or the name of a host, without a scheme or a port' });
/** Client ids as in RFC 6749, appendix A. Secrets are not checked: some contain other characters. */
export const printable = z
  .string()
  .regex(/^[\x20-\x7e]+$/, { error: 'must be printable ASCII characters (RFC 6749)' });
/** Scopes as in RFC 6749, appendix A. */
export const scopes = z.string().regex(/^[!#-[\]-~]+( [!#-[\]-~]+)*$/, {
  error: 'must be names of scopes with a space between them (RFC 6749)',
});
const HTTP = ['https:', 'http:'];
const url = z.string().refine((text) => parseUrl(text, HTTP) !== undefined, {
  error: 'must be a URL that begins with https:// or http://',
});
/** A URL for requests with their own credentials, which credentials in the URL would replace. */
export const endpoint = url.refine(
  (text) => {
    const { username, password, hash } = parseUrl(text, HTTP) ?? {};
    return !username && !password && !hash;
  },
  { error: 'must have no fragment or credentials' },
);
/** A URL to which a path is appended: without query, fragment and credentials. */
export const baseUrl = url
  .refine((text) => !/[?#@]/.test(text), 'must have no query, fragment or credentials')
  .transform((text) => text.replace(/\/+$/, ''));
/** A base URL, or empty for none. */
export const baseUrlOrNone = z
  .string()
  .refine((text) => text === '' || baseUrl.safeParse(text).success, {
    error: 'must be a URL that begins with https:// or http://, without query, fragment or credentials',
  })
  .transform((text) => text.replace(/\/+$/, ''));
/** A URL whose responses are trusted, so that it must use TLS or loopback. Empty: none. */
export const protectedUrl = z.string().refine((text) => text === '' || isProtected(parseUrl(text, HTTP)), {
  error: 'must be a URL that begins with https:// (http:// on a loopback address alone), without credentials',
});

function isProtected(url: URL | undefined): boolean {
  const isSecure = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  return isSecure && url.username + url.password + url.hash === '';
}
