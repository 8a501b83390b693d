import { LRUCache } from 'lru-cache';
import { type Clock, sleep, systemClock } from '../clock.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import type { Tokens, TokenVerdict } from './layers/authorize.ts';
import { hasTriedAnother, isAmong, isJobsOwn, Token, type TokenCall, type TokenRefusal } from './token.ts';
import type { IssuedToken } from './token-endpoint.ts';
import { type TokenRequestObserver, TokenRequests, type TokenRequestsOptions } from './token-requests.ts';
import { refusalPauseMs, TokenTrial } from './token-trial.ts';

/** A token is refreshed so long before its end, or a fifth of its life before if that is less. In milliseconds. */
const REFRESH_AHEAD_MS = 60_000;
/** However short a token is said to live, or long it took to come, it is used for so long: else each call would need another. */
const SHORTEST_LIFE_MS = 1000;
/**
 * The first refusal of one job alone brings about another token. After one that was not accepted, or brought about in vain, so many
 * milliseconds pass before the next.
 */
const REPLACED_IN_VAIN_MS = 60_000;
/** After so many refusals of one read, with the same token, it is judged by what there is. */
const MOST_REFUSALS = 6;
/** Most jobs that are remembered as refused on their own. */
const MOST_REFUSED_JOBS = 10_000;

export type TokenState = 'none yet' | 'good' | 'failing';

/** Told of each request for a token, and once when upstream refuses every token and once when it takes one again. */
export interface TokenObserver extends TokenRequestObserver {
  tokensRefused(): void;
  tokensAccepted(): void;
}

export interface TokenSourceOptions extends Pick<TokenRequestsOptions, 'request' | 'longestPauseMs'> {
  readonly observer: TokenObserver;
  readonly clock?: Clock;
}

/**
 * The gateway's own token, replaced in the background before its end. It never leaves the process. What a 401 means is judged
 * by evidence:
 * - A token that others are read with stays: the refusal is that job's own.
 * - A new token is tried by one call at a time while the former serves, until upstream has accepted it once.
 * - Without a former token, a young one that is refused is tried again after short growing pauses before it is replaced.
 * - Whichever is tried is refused, to distinct jobs, for seconds: the credentials are at fault. Reads are refused, but for one
 *   call a pause.
 */
export class TokenSource implements Tokens {
  readonly #options: TokenSourceOptions;
  readonly #clock: Clock;
  readonly #requests: TokenRequests;
  readonly #trial = new TokenTrial();
  #current: Token | undefined;
  /** The one before, while upstream has not accepted the current one yet. */
  #former: Token | undefined;
  #replacedInVainAt = -Infinity;
  #isRefusalTold = false;
  /** Jobs that are refused with tokens that others are read with → when they were refused last. */
  readonly #refusedJobs = new LRUCache<string, number>({ max: MOST_REFUSED_JOBS });

  constructor(options: TokenSourceOptions) {
    const { clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#requests = new TokenRequests({
      ...options,
      clock,
      onToken: (token, askedAt) => {
        this.#hold(token, askedAt);
      },
    });
  }

  /**
   * Resolves when a call could be sent with a token at once.
   * @throws {GatewayError} `UpstreamAuthenticationFailed` or `ServiceUnavailable`
   */
  async ready(): Promise<void> {
    for (;;) {
      const now = this.#clock.now();
      if (this.#valid(now).length === 0) return this.#requests.fetch();
      if (!this.#trial.isInDoubt) {
        this.#refreshWhenDue(now);
        return;
      }
      const pauseMs = this.#trial.nextAt - now;
      if (this.#trial.isUnderWay) await this.#trial.whenEnded();
      else if (pauseMs <= 0) return this.#current?.isUseless === false ? undefined : this.#requests.fetch();
      else if (this.#trial.isRefusing) throw credentialsRefused(pauseMs);
      else await sleep(this.#clock, pauseMs);
    }
  }

  /**
   * A token for one call, whose end has to be told.
   * @param refusals of the read that the call is for: another token than those, if there is one
   * @throws as `ready`
   */
  async get(refusals: readonly TokenRefusal[]): Promise<Token> {
    for (;;) {
      await this.ready();
      const token = this.#choose(this.#clock.now(), refusals);
      if (token) return token;
    }
  }

  /** Upstream accepted it: whatever the answer was, it was no 401. */
  accepted(call: TokenCall): void {
    this.#refusedJobs.delete(call.jobId);
    const token = this.#find(call.tokenId);
    if (!token) return;
    if (token === this.#current && !token.isProven) this.#replacedInVainAt = -Infinity;
    token.accept(call);
    if (this.#isRefusalTold) this.#options.observer.tokensAccepted();
    this.#isRefusalTold = false;
    // Those that were refused for so long while others are accepted are refused on their own.
    for (const jobId of this.#trial.longRefusedJobs) this.#refusedJobs.set(jobId, call.sentAt);
    this.#trial.endDoubt();
    if (token !== this.#current) return;
    this.#former = undefined;
    this.#trial.reset();
  }

  /** The call came to no answer that says anything of the token. */
  unanswered({ tokenId }: TokenCall): void {
    if (tokenId === this.#current?.id) this.#trial.end();
  }

  /**
   * Upstream refused it.
   * @param earlier refusals of the same read
   * @throws as `ready`, when another token is needed to tell what is at fault, and cannot be had
   */
  async refused(call: TokenCall, earlier: readonly TokenRefusal[]): Promise<TokenVerdict> {
    const now = this.#clock.now();
    const token = this.#find(call.tokenId);
    const refusals = [...earlier, call];
    // The first time it is tried again at once: with another token, or as soon as the trial of this one allows.
    const afterMs = earlier.length === 0 ? 0 : refusalPauseMs(earlier.length);
    if (!token) return { kind: 'retry', afterMs };
    if (token === this.#current) this.#trial.end();
    const refusedBefore = this.#refusedJobs.get(call.jobId);
    const isKnown = refusedBefore !== undefined && token.servedSince(refusedBefore);
    if (isKnown) return this.#jobRefused(call, refusals, now);
    token.refuse(call);
    if (this.#former?.isDoubted) this.#former = undefined;
    if (token === this.#current && !token.isTrusted) this.#trial.refused(call, now);
    if (isJobsOwn(refusals, this.#current, this.#former)) return this.#jobRefused(call, refusals, now);
    if (this.#isDoubted(now)) return this.#doubt(now, afterMs);
    if (this.#valid(now).some((one) => one.isTrusted && !isAmong(refusals, one)))
      return { kind: 'retry', afterMs };
    if (this.#current?.isYoung(now)) return { kind: 'retry', afterMs: Math.max(afterMs, refusalPauseMs(1)) };
    if (hasTriedAnother(refusals)) return this.#jobRefused(call, refusals, now);
    if (now - this.#replacedInVainAt < REPLACED_IN_VAIN_MS) {
      const isJobs = refusals.length >= MOST_REFUSALS;
      return isJobs ? this.#jobRefused(call, refusals, now) : { kind: 'retry', afterMs };
    }
    // Revoked, or the job's own trouble: another token tells. This one serves the others until that is accepted.
    await this.#requests.fetch();
    this.#replacedInVainAt = this.#clock.now();
    // The endpoint may have handed out the same one.
    return { kind: 'retry', afterMs: this.#current === token ? Math.max(afterMs, refusalPauseMs(1)) : 0 };
  }

  /** The credentials are others now: whether they are good shows at once, while the token held so far still serves. */
  renew(): void {
    this.#requests.startAnew(() => {
      this.#trial.reset();
      if (this.#current?.isDoubted) this.#current = undefined;
    });
  }

  get state(): TokenState {
    const isHeld = this.#valid(this.#clock.now()).length > 0;
    if (this.#trial.isInDoubt) return 'failing';
    if (isHeld) return 'good';
    return this.#requests.isFailing ? 'failing' : 'none yet';
  }

  /** Tokens that have not expired, the newest first. */
  #valid(now: number): Token[] {
    return [this.#current, this.#former]
      .filter((token) => token !== undefined)
      .filter((token) => now < token.expiresAt);
  }

  #find(tokenId: number): Token | undefined {
    return [this.#current, this.#former].find((token) => token?.id === tokenId);
  }

  /** @returns nothing while another call tries the only token */
  #choose(now: number, refusals: readonly TokenRefusal[]): Token | undefined {
    const valid = this.#valid(now);
    const others = valid.filter((token) => !isAmong(refusals, token));
    const [newest, former] = others.length > 0 ? others : valid.slice(0, 1);
    if (!newest || newest.isTrusted) return newest;
    const isDue = this.#trial.isDue(now);
    if (former?.isTrusted && !isDue) return former;
    if (!former?.isTrusted && !this.#trial.isInDoubt) return newest;
    if (!isDue) return undefined;
    this.#trial.begin();
    return newest;
  }

  #jobRefused({ jobId }: TokenCall, refusals: readonly TokenRefusal[], now: number): TokenVerdict {
    if (hasTriedAnother(refusals)) this.#replacedInVainAt = now;
    this.#refusedJobs.set(jobId, now);
    return { kind: 'job-refused' };
  }

  #isDoubted(now: number): boolean {
    const valid = this.#valid(now);
    return this.#trial.isInDoubt || (valid.length > 0 && valid.every((token) => token.isDoubted));
  }

  #doubt(now: number, afterMs: number): TokenVerdict {
    // A token that has served was revoked: the next one has its time first.
    this.#trial.doubt(now, this.#current?.isProven ? now : this.#current?.issuedAt);
    if (this.#trial.isStuck) return { kind: 'job-refused' };
    if (!this.#trial.isRefusing) return { kind: 'retry', afterMs };
    if (!this.#isRefusalTold) this.#options.observer.tokensRefused();
    this.#isRefusalTold = true;
    return { kind: 'credentials-refused' };
  }

  #refreshWhenDue(now: number): void {
    const token = this.#current;
    // A new token that was of no use is replaced by another while the former serves.
    const isFailed = token?.isUseless === true && now >= this.#trial.nextAt;
    if (!token || now >= token.refreshAt || isFailed) this.#requests.refresh();
  }

  /** Its life began when it was issued, which was not before it was asked for. */
  #hold({ value, lifetimeMs }: IssuedToken, askedAt: number): void {
    const now = this.#clock.now();
    const expiresAt = Math.max(askedAt + lifetimeMs, now + SHORTEST_LIFE_MS);
    const refreshAt = expiresAt - Math.min(REFRESH_AHEAD_MS, (expiresAt - askedAt) / 5);
    if (this.#current?.value === value) {
      // The endpoint has handed out the same one: what is known of it stays true.
      Object.assign(this.#current, { refreshAt, expiresAt });
      return;
    }
    this.#former = this.#valid(now).find((token) => token.isTrusted);
    this.#current = new Token(value, askedAt, refreshAt, expiresAt);
    this.#trial.restart();
  }
}

function credentialsRefused(pauseMs: number): GatewayError {
  return GatewayError.of('UpstreamAuthenticationFailed', { retryAfterMs: pauseMs });
}
