import { LRUCache } from 'lru-cache';
import { GatewayError } from '../errors/gateway-error.ts';
import type { Admission, Authenticator, Caller, Credentials } from './caller.ts';
import type { CallerEntry } from './callers-file.ts';

/** How many headers that proved good are remembered, and how many characters of them: the longest are some 16,000. */
const MOST_REMEMBERED = 10_000;
const MOST_CHARACTERS = 16 * 2 ** 20;

/** `Bearer` in any letter case and one token (RFC 6750 section 2.1). */
const BEARER = /^bearer +([\w.~+/-]+=*) *$/i;

/** Lets in who has a credential of one of some kinds. One that proved good is not looked at again while it is good. */
export class KnownCallers implements Authenticator {
  readonly #remembered = new LRUCache<string, Admission>({
    max: MOST_REMEMBERED,
    maxSize: MOST_CHARACTERS,
    sizeCalculation: (_admission, authorization) => authorization.length,
  });

  /** @param kinds asked in turn, the cheapest first */
  constructor(
    private readonly kinds: readonly Credentials[],
    entries: readonly CallerEntry[],
  ) {
    this.replace(entries);
  }

  /** Takes up other entries of the callers file. What was remembered is forgotten. */
  replace(entries: readonly CallerEntry[]): void {
    for (const kind of this.kinds) kind.replace(entries);
    this.#remembered.clear();
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
    const known = this.#remembered.get(authorization);
    return known && Date.now() < known.until ? known.caller : undefined;
  }

  async #admit(authorization: string, credential: string): Promise<Caller> {
    for (const kind of this.kinds) {
      const admission = await kind.admit(credential);
      if (!admission) continue;
      this.#remembered.set(authorization, admission);
      return admission.caller;
    }
    throw GatewayError.of('Unauthorized');
  }
}
