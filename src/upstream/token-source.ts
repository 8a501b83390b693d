import { LRUCache } from 'lru-cache';
import { type Clock, sleep, systemClock } from '../clock.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import type { Tokens, TokenVerdict } from './layers/authorize.ts';
import {
  isJobSpecific,
  severalTokens,
  Token,
  type TokenCall,
  type TokenRefusal,
  wasRefusedWith,
} from './token.ts';
import type { IssuedToken } from './token-endpoint.ts';
import { type TokenRequestObserver, TokenRequests, type TokenRequestsOptions } from './token-requests.ts';
import { refusalPauseMs, TokenTrial } from './token-trial.ts';

/** How long before its expiry a token is refreshed, or a fifth of its lifetime if that is less. In milliseconds. */
const REFRESH_AHEAD_MS = 60_000;
/** Shortest use of a token, in milliseconds, whatever its lifetime: otherwise each call would request another. */
const SHORTEST_LIFETIME_MS = 1000;
/** Pause before another token is requested for a single refused job if the last one did not help. In milliseconds. */
const REPLACEMENT_INTERVAL_MS = 60_000;
/** Refusals of one read with the same token after which they count as due to the job. */
const MAX_REFUSALS = 6;
/** Most jobs kept as refused themselves. */
const MAX_REFUSED_JOBS = 10_000;

export type TokenState = 'none yet' | 'good' | 'failing';

/** Notified after each token request, once when upstream refuses every token, and once when it accepts one again. */
export interface TokenObserver extends TokenRequestObserver {
  tokensRefused(): void;
  tokensAccepted(): void;
}

export interface TokenSourceOptions extends Pick<TokenRequestsOptions, 'request' | 'longestPauseMs'> {
  readonly observer: TokenObserver;
  readonly clock?: Clock;
}

/**
 * The gateway's own token, refreshed in the background before its expiry. It never leaves the process. A 401 is
 * interpreted by evidence:
 * - A token that upstream accepts for other jobs is kept: the refusal is due to the job.
 * - A new token is tried with one call at a time while the former is in use, until upstream has accepted it once.
 * - Without a former token, a refused young token is tried again, after growing pauses, before it is replaced.
 * - If every token is refused to distinct jobs for seconds, the credentials are invalid: reads fail at once, except for
 *   one call per pause.
 */
export class TokenSource implements Tokens {
  readonly #options: TokenSourceOptions;
  readonly #clock: Clock;
  readonly #requests: TokenRequests;
  readonly #trial = new TokenTrial();
  #current: Token | undefined;
  /** The token before the current one, until upstream has accepted that. */
  #former: Token | undefined;
  #fruitlessReplacementAt = -Infinity;
  #isRefusalReported = false;
  /** Jobs refused with tokens that were accepted for others → time of their last refusal. */
  readonly #refusedJobs = new LRUCache<string, number>({ max: MAX_REFUSED_JOBS });

  constructor(options: TokenSourceOptions) {
    const { clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#requests = new TokenRequests({
      ...options,
      clock,
      onToken: (token, requestedAt) => {
        this.#store(token, requestedAt);
      },
    });
  }

  /**
   * Resolves when a token is available for a call.
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
      else if (this.#trial.isRefusing)
        throw GatewayError.of('UpstreamAuthenticationFailed', { retryAfterMs: pauseMs });
      else await sleep(this.#clock, pauseMs);
    }
  }

  /**
   * Returns a token for one call. `accepted`, `refused` or `unanswered` must follow.
   * @param refusals of the same read: prefers a token that they do not contain
   * @throws as `ready`
   */
  async get(refusals: readonly TokenRefusal[]): Promise<Token> {
    for (;;) {
      await this.ready();
      const token = this.#choose(this.#clock.now(), refusals);
      if (token) return token;
    }
  }

  /** Upstream accepted the token of a call: its answer was no 401. */
  accepted(call: TokenCall): void {
    this.#refusedJobs.delete(call.jobId);
    const token = this.#find(call.tokenId);
    if (!token) return;
    if (token === this.#current && !token.isProven) this.#fruitlessReplacementAt = -Infinity;
    token.recordAcceptance(call);
    if (this.#isRefusalReported) this.#options.observer.tokensAccepted();
    this.#isRefusalReported = false;
    // Jobs refused throughout a long doubt that ends now are refused themselves.
    for (const jobId of this.#trial.longRefusedJobs) this.#refusedJobs.set(jobId, call.sentAt);
    this.#trial.endDoubt();
    if (token !== this.#current) return;
    this.#former = undefined;
    this.#trial.reset();
  }

  /** The call ended without an answer about the token. */
  unanswered({ tokenId }: TokenCall): void {
    if (tokenId === this.#current?.id) this.#trial.end();
  }

  /**
   * Upstream refused the token of a call.
   * @param earlier refusals of the same read
   * @throws as `ready`, when another token is needed to find the reason and cannot be obtained
   */
  async refused(call: TokenCall, earlier: readonly TokenRefusal[]): Promise<TokenVerdict> {
    const now = this.#clock.now();
    const token = this.#find(call.tokenId);
    const refusals = [...earlier, call];
    // The first retry is immediate: with another token, or as soon as the trial of this one allows.
    const afterMs = earlier.length === 0 ? 0 : refusalPauseMs(earlier.length);
    if (!token) return { kind: 'retry', afterMs };
    if (token === this.#current) this.#trial.end();
    const refusedBefore = this.#refusedJobs.get(call.jobId);
    const isKnown = refusedBefore !== undefined && token.servedSince(refusedBefore);
    if (isKnown) return this.#jobRefused(call, refusals, now);
    token.recordRefusal(call);
    if (this.#former?.isDoubted) this.#former = undefined;
    if (token === this.#current && !token.isTrusted) this.#trial.refused(call, now);
    if (isJobSpecific(refusals, this.#current, this.#former)) return this.#jobRefused(call, refusals, now);
    if (this.#isDoubted(now)) return this.#doubt(now, afterMs);
    if (this.#valid(now).some((other) => other.isTrusted && !wasRefusedWith(refusals, other)))
      return { kind: 'retry', afterMs };
    if (this.#current?.isYoung(now)) return { kind: 'retry', afterMs: Math.max(afterMs, refusalPauseMs(1)) };
    if (severalTokens(refusals)) return this.#jobRefused(call, refusals, now);
    if (now - this.#fruitlessReplacementAt < REPLACEMENT_INTERVAL_MS) {
      const isExhausted = refusals.length >= MAX_REFUSALS;
      return isExhausted ? this.#jobRefused(call, refusals, now) : { kind: 'retry', afterMs };
    }
    // Another token shows whether this one was revoked or the job is refused itself.
    await this.#requests.fetch();
    this.#fruitlessReplacementAt = this.#clock.now();
    // The endpoint may have issued the same token again.
    return { kind: 'retry', afterMs: this.#current === token ? Math.max(afterMs, refusalPauseMs(1)) : 0 };
  }

  /** The credentials were replaced. Requests a token at once; the current one stays in use meanwhile. */
  renew(): void {
    this.#requests.restart(() => {
      this.#trial.reset();
      if (this.#current?.isDoubted) this.#current = undefined;
    });
  }

  get state(): TokenState {
    const hasToken = this.#valid(this.#clock.now()).length > 0;
    if (this.#trial.isInDoubt) return 'failing';
    if (hasToken) return 'good';
    return this.#requests.isFailing ? 'failing' : 'none yet';
  }

  /** Tokens that have not expired, newest first. */
  #valid(now: number): Token[] {
    return [this.#current, this.#former]
      .filter((token) => token !== undefined)
      .filter((token) => now < token.expiresAt);
  }

  #find(tokenId: number): Token | undefined {
    return [this.#current, this.#former].find((token) => token?.id === tokenId);
  }

  /** @returns undefined while another call tries the only token */
  #choose(now: number, refusals: readonly TokenRefusal[]): Token | undefined {
    const valid = this.#valid(now);
    const others = valid.filter((token) => !wasRefusedWith(refusals, token));
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
    if (severalTokens(refusals)) this.#fruitlessReplacementAt = now;
    this.#refusedJobs.set(jobId, now);
    return { kind: 'job-refused' };
  }

  #isDoubted(now: number): boolean {
    const valid = this.#valid(now);
    return this.#trial.isInDoubt || (valid.length > 0 && valid.every((token) => token.isDoubted));
  }

  #doubt(now: number, afterMs: number): TokenVerdict {
    // After a revoked token the next one is given its time first.
    this.#trial.doubt(now, this.#current?.isProven ? now : this.#current?.issuedAt);
    if (this.#trial.isStuck) return { kind: 'job-refused' };
    if (!this.#trial.isRefusing) return { kind: 'retry', afterMs };
    if (!this.#isRefusalReported) this.#options.observer.tokensRefused();
    this.#isRefusalReported = true;
    return { kind: 'credentials-refused' };
  }

  #refreshWhenDue(now: number): void {
    const token = this.#current;
    // A new token that is useless is replaced while the former is in use.
    const isFailed = token?.isUseless === true && now >= this.#trial.nextAt;
    if (!token || now >= token.refreshAt || isFailed) this.#requests.refresh();
  }

  /** Stores a token. Its lifetime counts from the request, since it may have been issued at any time after that. */
  #store({ value, lifetimeMs }: IssuedToken, requestedAt: number): void {
    const now = this.#clock.now();
    const expiresAt = Math.max(requestedAt + lifetimeMs, now + SHORTEST_LIFETIME_MS);
    const refreshAt = expiresAt - Math.min(REFRESH_AHEAD_MS, (expiresAt - requestedAt) / 5);
    if (this.#current?.value === value) {
      // The same token again: the evidence about it stays valid.
      Object.assign(this.#current, { refreshAt, expiresAt });
      return;
    }
    this.#former = this.#valid(now).find((token) => token.isTrusted);
    this.#current = new Token(value, requestedAt, refreshAt, expiresAt);
    this.#trial.restart();
  }
}
