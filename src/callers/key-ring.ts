import { createHash, timingSafeEqual } from 'node:crypto';
import { type Admission, caller, type Credentials } from './caller.ts';
import type { CallerEntry } from './callers-file.ts';

/** The keys of the callers file, of which only digests are stored. */
export class KeyRing implements Credentials {
  #keys: readonly { readonly digest: Buffer; readonly admission: Admission }[] = [];

  replace(entries: readonly CallerEntry[]): void {
    this.#keys = entries.flatMap(({ name, iTwins, operator, keySha256 = [] }) => {
      const admission = { caller: caller(name, iTwins, operator), until: Infinity };
      return keySha256.map((hex) => ({ digest: Buffer.from(hex, 'hex'), admission }));
    });
  }

  admit(key: string): Admission | undefined {
    const digest = createHash('sha256').update(key).digest();
    let found: Admission | undefined;
    // All digests are compared, each in constant time, so that the duration reveals nothing about the keys.
    for (const entry of this.#keys) if (timingSafeEqual(entry.digest, digest)) found = entry.admission;
    return found;
  }
}
