/**
 * Distinct jobs that must be refused, without an acceptance since, to put a token in doubt. One job may be refused
 * itself.
 */
const JOBS_FOR_DOUBT = 2;
/**
 * How long after its issue a token may be unknown to parts of upstream (replication, `nbf` against a slow clock). The
 * shorter time is for a token that was accepted at the first try. In milliseconds.
 */
const YOUNG_MS = 5000;
const YOUNG_ACCEPTED_AT_ONCE_MS = 500;

/** A call that carried a token. Times on the clock of the token source, in milliseconds. */
export interface TokenCall {
  /** Id of the token. The token itself is in nothing that an error, and thus the log, can contain. */
  readonly tokenId: number;
  readonly jobId: string;
  readonly sentAt: number;
}

/** The token and send time of a call that upstream refused with a 401. */
export type TokenRefusal = Pick<TokenCall, 'tokenId' | 'sentAt'>;

/** A bearer token, and the evidence for or against it from calls. */
export class Token {
  static #count = 0;
  readonly id = ++Token.#count;
  /** Send times of the first and the last call that upstream accepted. */
  #firstAcceptedAt = Infinity;
  #lastAcceptedAt = -Infinity;
  /** Jobs refused since the last acceptance → send time of the call; no more than it takes for a doubt. */
  readonly #refusedJobs = new Map<string, number>();
  #wasRefusedOld = false;
  #wasRefusedFirst = false;

  constructor(
    readonly value: string,
    readonly issuedAt: number,
    /** When to request the next token, while this one is in use. */
    public refreshAt: number,
    public expiresAt: number,
  ) {}

  /** Whether upstream has accepted it at least once. */
  get isProven(): boolean {
    return this.#lastAcceptedAt > -Infinity;
  }

  get isDoubted(): boolean {
    return this.#refusedJobs.size >= JOBS_FOR_DOUBT;
  }

  get isTrusted(): boolean {
    return this.isProven && !this.isDoubted;
  }

  /** Whether another try is pointless: it is in doubt and was refused when it was no longer young. */
  get isUseless(): boolean {
    return this.isDoubted && this.#wasRefusedOld;
  }

  isYoung(at: number): boolean {
    const wasAcceptedAtOnce = this.isProven && !this.#wasRefusedFirst;
    return at - this.issuedAt < (wasAcceptedAtOnce ? YOUNG_ACCEPTED_AT_ONCE_MS : YOUNG_MS);
  }

  /** Whether a call that was sent at this time or later was accepted. */
  servedSince(sentAt: number): boolean {
    return this.#lastAcceptedAt >= sentAt;
  }

  /** Whether it was accepted for others before and after a refused call, when it was no longer young. */
  servedAround({ sentAt }: TokenRefusal): boolean {
    return !this.isYoung(sentAt) && this.#firstAcceptedAt <= sentAt && this.servedSince(sentAt);
  }

  /** Whether it had been accepted for others before a refused call was sent. */
  servedBefore({ tokenId, sentAt }: TokenRefusal): boolean {
    return tokenId === this.id && this.#firstAcceptedAt <= sentAt;
  }

  recordAcceptance({ sentAt }: TokenCall): void {
    this.#firstAcceptedAt = Math.min(this.#firstAcceptedAt, sentAt);
    this.#lastAcceptedAt = Math.max(this.#lastAcceptedAt, sentAt);
    for (const [jobId, refusedAt] of this.#refusedJobs) {
      if (refusedAt <= sentAt) this.#refusedJobs.delete(jobId);
    }
  }

  recordRefusal({ jobId, sentAt }: TokenCall): void {
    if (this.servedSince(sentAt)) return;
    if (!this.isDoubted || this.#refusedJobs.has(jobId)) this.#refusedJobs.set(jobId, sentAt);
    if (!this.isProven) this.#wasRefusedFirst = true;
    if (!this.isYoung(sentAt)) this.#wasRefusedOld = true;
  }
}

/** Whether one of the refusals is of this token. */
export function wasRefusedWith(refusals: readonly TokenRefusal[], { id }: Token): boolean {
  return refusals.some(({ tokenId }) => tokenId === id);
}

/** Whether the refusals are of more than one token. */
export function severalTokens([first, ...others]: readonly TokenRefusal[]): boolean {
  return others.some(({ tokenId }) => tokenId !== first?.tokenId);
}

/**
 * Whether the refusals of one read are due to its job and not to the token: a token was accepted for others before and
 * after one of them, or the read was refused with another token before and now twice with one that was accepted for
 * others.
 */
export function isJobSpecific(refusals: readonly TokenRefusal[], current?: Token, former?: Token): boolean {
  const tokenOf = ({ tokenId }: TokenRefusal) => [current, former].find((token) => token?.id === tokenId);
  if (refusals.some((refusal) => tokenOf(refusal)?.servedAround(refusal))) return true;
  const hasTriedOther = refusals.some(({ tokenId }) => tokenId !== current?.id);
  return hasTriedOther && refusals.filter((refusal) => current?.servedBefore(refusal)).length >= 2;
}
