import type { CallerEntry } from './callers-file.ts';

/** Someone who may call the gateway (contract section 6). */
export interface Caller {
  /** From the callers file, or one for all others: a metric label, never what a caller chooses. */
  readonly name: string;
  /** Whose reads share a line in the queue, and whose streams are counted together. */
  readonly queueKey: string;
  /** Whether it may see the operators' part of the console. */
  readonly operator: boolean;
  /** Whether it may see a job of this iTwin. A job without one is for those who may see all. */
  maySee(iTwinId: string | undefined): boolean;
}

/**
 * @param iTwins ids in any letter case; `*` stands for all of them
 * @param queueKey default: its name
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
 * Finds the caller of a request: at once when the credential is cached or malformed. A class without code, so that Nest can inject by
 * it.
 */
export abstract class Authenticator {
  /**
   * Throws, or rejects with, a {@link GatewayError}: `HeaderNotFound`, `Unauthorized`, or `ServiceUnavailable` when it
   * cannot be known.
   * @param authorization the Authorization header as it came
   */
  abstract authenticate(authorization: string | undefined): Caller | Promise<Caller>;
  /** The same for a credential that proved good before; nothing for any other. */
  abstract cached(authorization: string | undefined): Caller | undefined;
}

/** A caller, and until when its credential is good, in milliseconds since 1970. */
export interface Admission {
  readonly caller: Caller;
  readonly until: number;
}

/** One kind of credential. */
export interface Credentials {
  /**
   * Whose this is; nobody's when it is of another kind, or unknown.
   * @throws {GatewayError} `ServiceUnavailable` when it cannot be known
   */
  admit(credential: string): Admission | undefined | Promise<Admission | undefined>;
  /** Takes up what the callers file says now. */
  replace(entries: readonly CallerEntry[]): void;
}

/**
 * `AUTH=off`: whoever reaches the gateway may read every job, and whatever Authorization says is ignored. They are operators
 * too: it is a loopback address or a trusted network, and nobody else could be told apart who may see the console.
 */
export const everyone: Authenticator = (() => {
  const anyone = caller('anyone', ['*'], true);
  return { authenticate: () => anyone, cached: () => anyone };
})();
