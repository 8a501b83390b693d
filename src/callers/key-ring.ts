import { createHash, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { GatewayError } from '../errors/gateway-error.ts';
import { type Authenticator, type Caller, caller } from './caller.ts';
import type { CallerEntry } from './callers-file.ts';

/** How many headers that proved good are remembered, so that a caller's key is not hashed at each request. */
const REMEMBERED = 1000;

/** `Bearer` in any letter case and one token (RFC 6750 section 2.1). */
const BEARER = /^bearer +([\w.~+/-]+=*) *$/i;

/** The keys of the callers file, known by their digests alone. */
export class KeyRing implements Authenticator {
  #keys: readonly { readonly digest: Buffer; readonly caller: Caller }[] = [];
  readonly #known = new LRUCache<string, Caller>({ max: REMEMBERED });

  constructor(entries: readonly CallerEntry[]) {
    this.replace(entries);
  }

  /** Takes up other entries. What was remembered of the former is forgotten. */
  replace(entries: readonly CallerEntry[]): void {
    this.#keys = entries.flatMap(({ name, iTwins, operator, keySha256 }) => {
      const owner = caller(name, iTwins, operator);
      return keySha256.map((hex) => ({ digest: Buffer.from(hex, 'hex'), caller: owner }));
    });
    this.#known.clear();
  }

  authenticate(authorization: string | undefined): Caller {
    if (authorization === undefined) throw GatewayError.of('HeaderNotFound');
    const known = this.#known.get(authorization) ?? this.#find(authorization);
    if (!known) throw GatewayError.of('Unauthorized');
    return known;
  }

  #find(authorization: string): Caller | undefined {
    const key = BEARER.exec(authorization)?.[1];
    if (key === undefined) return undefined;
    const digest = createHash('sha256').update(key).digest();
    let found: Caller | undefined;
    // Every digest is compared, and each in constant time: how long it takes tells nothing of the keys.
    for (const entry of this.#keys) if (timingSafeEqual(entry.digest, digest)) found = entry.caller;
    if (found) this.#known.set(authorization, found);
    return found;
  }
}
