import { z } from 'zod';
import { isHost, parseUrl, withoutBrackets } from './texts.ts';
import { isLoopback } from './units.ts';

/** What an address to listen on may look like; whether it is one of this machine shows when it is listened on. */
export const host = z
  .string()
  .transform(withoutBrackets)
  .refine(isHost, { error: 'must be an address or the name of a host, without a scheme or a port' });
/** As RFC 6749 (appendix A) has ids of clients, and names of scopes. It has secrets so too; those that are not exist. */
export const printable = z
  .string()
  .regex(/^[\x20-\x7e]+$/, { error: 'must be printable ASCII characters (RFC 6749)' });
export const scopes = z.string().regex(/^[!#-[\]-~]+( [!#-[\]-~]+)*$/, {
  error: 'must be names of scopes with a space between them (RFC 6749)',
});
const HTTP = ['https:', 'http:'];
const url = z.string().refine((text) => parseUrl(text, HTTP) !== undefined, {
  error: 'must be a URL that begins with https:// or http://',
});
/** A URL that requests are sent to with credentials of their own, which others in it would take the place of. */
export const endpoint = url.refine(
  (text) => {
    const { username, password, hash } = parseUrl(text, HTTP) ?? {};
    return !username && !password && !hash;
  },
  { error: 'must have no fragment or credentials' },
);
/** A URL to which a path is appended: nothing may follow its own path, and it may carry no credentials. */
export const baseUrl = url
  .refine((text) => !/[?#@]/.test(text), 'must have no query, fragment or credentials')
  .transform((text) => text.replace(/\/+$/, ''));
/** Such a URL, or none. */
export const baseUrlOrNone = z
  .string()
  .refine((text) => text === '' || baseUrl.safeParse(text).success, {
    error: 'must be a URL that begins with https:// or http://, without query, fragment or credentials',
  })
  .transform((text) => text.replace(/\/+$/, ''));
/** A URL that is believed what it says: nobody on the way may be able to say something else. Empty: none. */
export const protectedUrl = z.string().refine((text) => text === '' || isProtected(parseUrl(text, HTTP)), {
  error: 'must be a URL that begins with https:// (http:// on a loopback address alone), without credentials',
});

function isProtected(url: URL | undefined): boolean {
  const isKept = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  return isKept && url.username + url.password + url.hash === '';
}
