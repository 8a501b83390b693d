import { LRUCache } from 'lru-cache';
import { GatewayError } from '../errors/gateway-error.ts';
import type { Admission, Authenticator, Caller, Credentials } from './caller.ts';
import type { CallerEntry } from './callers-file.ts';

/** Most verified headers in the cache, and most characters of them: the longest header has some 16,000. */
const MOST_CACHED = 10_000;
const MOST_CHARACTERS = 16 * 2 ** 20;

/** `Bearer` in any letter case and one token (RFC 6750 section 2.1). */
const BEARER = /^bearer +([\w.~+/-]+=*) *$/i;

/** Authenticates by several kinds of credentials. A verified one is cached until it expires. */
export class KnownCallers implements Authenticator {
  readonly #admissions = new LRUCache<string, Admission>({
    max: MOST_CACHED,
    maxSize: MOST_CHARACTERS,
    sizeCalculation: (_admission, authorization) => authorization.length,
  });

  /** @param kinds tried in turn, the cheapest first */
  constructor(
    private readonly kinds: readonly Credentials[],
    entries: readonly CallerEntry[],
  ) {
    this.replace(entries);
  }

  /** Takes the entries of a changed callers file, and empties the cache. */
  replace(entries: readonly CallerEntry[]): void {
    for (const kind of this.kinds) kind.replace(entries);
    this.#admissions.clear();
  }

  authenticate(authorization: string | undefined): Caller | Promise<Caller> {
    if (authorization === undefined) throw GatewayError.of('HeaderNotFound');
    const known = this.cached(authorization);
    if (known) return known;
    const credential = BEARER.exec(authorization)?.[1];
    if (credential === undefined) throw GatewayError.of('Unauthorized');
    return this.#admit(authorization, credential);
  }

  cached(authorization = ''): Caller | undefined {
    const known = this.#admissions.get(authorization);
    return known && Date.now() < known.until ? known.caller : undefined;
  }

  async #admit(authorization: string, credential: string): Promise<Caller> {
    for (const kind of this.kinds) {
      const admission = await kind.admit(credential);
      if (!admission) continue;
      this.#admissions.set(authorization, admission);
      return admission.caller;
    }
    throw GatewayError.of('Unauthorized');
  }
}
