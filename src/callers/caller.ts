/** Someone who may call the gateway (contract section 6). */
export interface Caller {
  /** From the callers file: the name of its line in the queue and a metric label, never something a caller chooses. */
  readonly name: string;
  /** Whether it may see the operators' part of the console. */
  readonly operator: boolean;
  /** Whether it may see a job of this iTwin. A job without one is for those who may see all. */
  maySee(iTwinId: string | undefined): boolean;
}

/** @param iTwins ids in any letter case; `*` stands for all of them */
export function caller(name: string, iTwins: readonly string[], operator = false): Caller {
  const granted = new Set(iTwins.map((iTwin) => iTwin.toLowerCase()));
  const all = granted.has('*');
  return {
    name,
    operator,
    maySee: (iTwinId) => all || (iTwinId !== undefined && granted.has(iTwinId.toLowerCase())),
  };
}

/** Says who calls. */
export interface Authenticator {
  /**
   * @param authorization the Authorization header as it came
   * @throws {GatewayError} `HeaderNotFound` or `Unauthorized`
   */
  authenticate(authorization: string | undefined): Caller;
}

/**
 * `AUTH=off`: whoever reaches the gateway may read every job, and whatever Authorization says is ignored. They are operators
 * too: it is a loopback address or a trusted network, and nobody else could be told apart who may see the console.
 */
export const everyone: Authenticator = (() => {
  const anyone = caller('anyone', ['*'], true);
  return { authenticate: () => anyone };
})();
