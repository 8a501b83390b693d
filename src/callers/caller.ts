import type { CallerEntry } from './callers-file.ts';

/** A client with a valid credential (docs/CONTRACT.md, section 6). */
export interface Caller {
  /** From the callers file, or a common name for all others: a metric label, which no caller can choose. */
  readonly name: string;
  /** Callers with the same key share a queue and the limit of streams. */
  readonly queueKey: string;
  /** Whether it may see the state in the console. */
  readonly operator: boolean;
  /** Whether it may see jobs of this iTwin. A job without an iTwin is visible to callers of all iTwins only. */
  maySee(iTwinId: string | undefined): boolean;
}

/**
 * @param iTwins ids in any letter case; `*` means all of them
 * @param queueKey default: the name
 */
export function caller(name: string, iTwins: readonly string[], operator = false, queueKey = name): Caller {
  const granted = new Set(iTwins.map((iTwin) => iTwin.toLowerCase()));
  const all = granted.has('*');
  return {
    name,
    queueKey,
    operator,
    maySee: (iTwinId) => all || (iTwinId !== undefined && granted.has(iTwinId.toLowerCase())),
  };
}

/**
 * Finds the caller of a request: at once when the credential is cached or malformed. A class without code, so that Nest
 * can inject by it.
 */
export abstract class Authenticator {
  /**
   * Throws, or rejects with, a {@link GatewayError}: `HeaderNotFound`, `Unauthorized`, or `ServiceUnavailable` if the
   * credential cannot be verified.
   * @param authorization the Authorization header
   */
  abstract authenticate(authorization: string | undefined): Caller | Promise<Caller>;
  /** The caller of a credential that was verified before and is still valid. */
  abstract cached(authorization: string | undefined): Caller | undefined;
}

/** A caller with a verified credential. */
export interface Admission {
  readonly caller: Caller;
  /** When the credential expires, in milliseconds since 1970. */
  readonly until: number;
}

/** A kind of credentials. */
export interface Credentials {
  /**
   * Verifies a credential.
   * @returns nothing if it is of another kind, or unknown
   * @throws {GatewayError} `ServiceUnavailable` if it cannot be verified
   */
  admit(credential: string): Admission | undefined | Promise<Admission | undefined>;
  /** Takes the entries of a changed callers file. */
  replace(entries: readonly CallerEntry[]): void;
}

/**
 * `AUTH=off`: every request is admitted, may read every job and see the console. `Authorization` is ignored. Meant for
 * a loopback address or a trusted network.
 */
export const everyone: Authenticator = (() => {
  const anyone = caller('anyone', ['*'], true);
  return { authenticate: () => anyone, cached: () => anyone };
})();
