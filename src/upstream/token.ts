/** Refusals of so many distinct jobs, with no acceptance since, put a token in doubt. One job's may be its own trouble. */
const JOBS_FOR_DOUBT = 2;
/**
 * For so long after its issue a token may still be unknown to parts of upstream (replication, `nbf` against a slow clock): much
 * shorter for one that was accepted when it was first tried. In milliseconds.
 */
const YOUNG_MS = 5000;
const YOUNG_ACCEPTED_AT_ONCE_MS = 500;

/** A call that carried a token. Times on the clock of the token source, in milliseconds. */
export interface TokenCall {
  /** Of the token; the token itself is kept off everything that an error, and so a log, may hold. */
  readonly tokenId: number;
  readonly jobId: string;
  readonly sentAt: number;
}

/** A call of a read that upstream refused with a 401: with which token, and when it was sent. */
export type TokenRefusal = Pick<TokenCall, 'tokenId' | 'sentAt'>;

/** A bearer token, and what calls have shown of it. */
export class Token {
  static #count = 0;
  readonly id = ++Token.#count;
  /** When the oldest and the newest call were sent that upstream accepted. */
  #firstAcceptedAt = Infinity;
  #lastAcceptedAt = -Infinity;
  /** When each job was refused that has been since the last acceptance; no more are kept than put the token in doubt. */
  readonly #refusedJobs = new Map<string, number>();
  #wasRefusedOld = false;
  #wasRefusedFirst = false;

  constructor(
    readonly value: string,
    readonly issuedAt: number,
    /** From when on another is asked for while this one serves. */
    public refreshAt: number,
    public expiresAt: number,
  ) {}

  /** Upstream has accepted it at least once. */
  get isProven(): boolean {
    return this.#lastAcceptedAt > -Infinity;
  }

  get isDoubted(): boolean {
    return this.#refusedJobs.size >= JOBS_FOR_DOUBT;
  }

  get isTrusted(): boolean {
    return this.isProven && !this.isDoubted;
  }

  /** Another try of it would be wasted: it was refused when it was young no more. */
  get isUseless(): boolean {
    return this.isDoubted && this.#wasRefusedOld;
  }

  isYoung(at: number): boolean {
    const isKnown = this.isProven && !this.#wasRefusedFirst;
    return at - this.issuedAt < (isKnown ? YOUNG_ACCEPTED_AT_ONCE_MS : YOUNG_MS);
  }

  /** Whether a call was accepted that was sent no earlier than this. */
  servedSince(sentAt: number): boolean {
    return this.#lastAcceptedAt >= sentAt;
  }

  /** Whether it served others both before and after a call that was refused, and was known everywhere by then. */
  servedAround({ sentAt }: TokenRefusal): boolean {
    return !this.isYoung(sentAt) && this.#firstAcceptedAt <= sentAt && this.servedSince(sentAt);
  }

  /** Whether a call that was refused was sent when others were read with the token already. */
  servedBefore({ tokenId, sentAt }: TokenRefusal): boolean {
    return tokenId === this.id && this.#firstAcceptedAt <= sentAt;
  }

  accept({ sentAt }: TokenCall): void {
    this.#firstAcceptedAt = Math.min(this.#firstAcceptedAt, sentAt);
    this.#lastAcceptedAt = Math.max(this.#lastAcceptedAt, sentAt);
    for (const [jobId, refusedAt] of this.#refusedJobs) {
      if (refusedAt <= sentAt) this.#refusedJobs.delete(jobId);
    }
  }

  refuse({ jobId, sentAt }: TokenCall): void {
    if (this.servedSince(sentAt)) return;
    if (!this.isDoubted || this.#refusedJobs.has(jobId)) this.#refusedJobs.set(jobId, sentAt);
    if (!this.isProven) this.#wasRefusedFirst = true;
    if (!this.isYoung(sentAt)) this.#wasRefusedOld = true;
  }
}

/** Whether the read was refused with this token. */
export function isAmong(refusals: readonly TokenRefusal[], { id }: Token): boolean {
  return refusals.some(({ tokenId }) => tokenId === id);
}

/** The read was refused with more than one token. */
export function hasTriedAnother([first, ...others]: readonly TokenRefusal[]): boolean {
  return others.some(({ tokenId }) => tokenId !== first?.tokenId);
}

/**
 * Whether the refusals of one read speak of its job, and not of the token: a token served others before and after one of them; or
 * the read was refused with another token before, and now twice with one that already served others.
 */
export function isJobsOwn(refusals: readonly TokenRefusal[], current?: Token, former?: Token): boolean {
  const isServing = ({ tokenId }: TokenRefusal) => [current, former].find((token) => token?.id === tokenId);
  if (refusals.some((one) => isServing(one)?.servedAround(one))) return true;
  const hasTriedOther = refusals.some(({ tokenId }) => tokenId !== current?.id);
  return hasTriedOther && refusals.filter((one) => current?.servedBefore(one)).length >= 2;
}
