import { safeCause } from '../errors/cause.ts';
import type { GatewayError } from '../errors/gateway-error.ts';
import { type IssuedToken, TokenFailure } from './token-endpoint.ts';
import type { Tokens } from './layers/authorize.ts';

/** A token is refreshed so long before its end, or a fifth of its life before if that is less. In milliseconds. */
const REFRESH_AHEAD_MS = 60_000;
/** After a failure nothing is asked for so long; doubled with each in a row, up to the longest. */
const FIRST_COOLDOWN_MS = 1000;
const LONGEST_COOLDOWN_MS = 30_000;
/** The longest that the endpoint may ask for. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;
/** So many tokens in a row that upstream refuses at once are a failure of their own: yet another will not help. */
const REFUSED_IN_A_ROW = 2;

export type TokenState = 'none yet' | 'good' | 'failing';

/** Told of each request for a token, and why the failed ones failed. */
export interface TokenObserver {
  refreshed(failure?: TokenFailure): void;
}

interface Held {
  readonly value: string;
  readonly refreshAt: number;
  readonly expiresAt: number;
}

/**
 * The gateway's own token. One request at a time, however many wait for it; a token near its end is replaced in the
 * background while it is still used. Failures are not kept, but cool down. The token never leaves the process.
 */
export class TokenSource implements Tokens {
  #held: Held | undefined;
  #pending: Promise<string> | undefined;
  #failure: TokenFailure | undefined;
  #failuresInARow = 0;
  #refusedInARow = 0;
  #coolsDownUntil = -Infinity;

  constructor(
    private readonly request: () => Promise<IssuedToken>,
    private readonly observer: TokenObserver,
  ) {}

  /** @throws {GatewayError} `UpstreamAuthenticationFailed` or `ServiceUnavailable` */
  async get(): Promise<string> {
    const now = performance.now();
    const held = this.#held;
    if (held && now < held.expiresAt) {
      // A failure shows when the token is really needed.
      if (now >= held.refreshAt && now >= this.#coolsDownUntil) this.#refresh().catch(() => undefined);
      return held.value;
    }
    if (this.#failure && now < this.#coolsDownUntil) throw this.#answer(this.#failure);
    return this.#refresh();
  }

  accepted(): void {
    this.#refusedInARow = 0;
  }

  /** Of many calls that meet one refused token, the first alone drops it. */
  refused(token: string): void {
    if (this.#held?.value !== token) return;
    this.#held = undefined;
    const times = ++this.#refusedInARow - REFUSED_IN_A_ROW;
    if (times >= 0) this.#coolDown(new TokenFailure('refused', 'upstream refuses each new token'), times);
  }

  /**
   * The credentials are others now. What failed with the former says nothing of these: whether they are good shows at once, while
   * the token held so far still serves, and not when it has ended.
   */
  renew(): void {
    const before = this.#pending ?? Promise.resolve();
    void before
      .catch(() => undefined)
      .then(() => {
        this.#coolsDownUntil = -Infinity;
        this.#failuresInARow = 0;
        this.#refusedInARow = 0;
        this.#refresh().catch(() => undefined);
      });
  }

  get state(): TokenState {
    const good = this.#held !== undefined && performance.now() < this.#held.expiresAt;
    if (good) return 'good';
    return this.#failure ? 'failing' : 'none yet';
  }

  #refresh(): Promise<string> {
    this.#pending ??= this.#fetch().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #fetch(): Promise<string> {
    const askedAt = performance.now();
    try {
      const { value, lifetimeMs } = await this.request();
      const aheadMs = Math.min(REFRESH_AHEAD_MS, lifetimeMs / 5);
      // Its life began when it was issued, which was not before it was asked for.
      this.#held = { value, refreshAt: askedAt + lifetimeMs - aheadMs, expiresAt: askedAt + lifetimeMs };
      this.#failure = undefined;
      this.#failuresInARow = 0;
      this.observer.refreshed();
      return value;
    } catch (error) {
      const failure = error instanceof TokenFailure ? error : unexpected(error);
      this.#coolDown(failure, this.#failuresInARow++);
      this.observer.refreshed(failure);
      throw this.#answer(failure);
    }
  }

  /** @param times how many such failures came before, in a row */
  #coolDown(failure: TokenFailure, times: number): void {
    const backoffMs = Math.min(LONGEST_COOLDOWN_MS, FIRST_COOLDOWN_MS * 2 ** times);
    this.#failure = failure;
    this.#coolsDownUntil =
      performance.now() + Math.min(LONGEST_RETRY_AFTER_MS, failure.retryAfterMs ?? backoffMs);
  }

  #answer(failure: TokenFailure): GatewayError {
    return failure.toAnswer(this.#coolsDownUntil - performance.now());
  }
}

function unexpected(error: unknown): TokenFailure {
  return new TokenFailure('unavailable', 'the token could not be asked for', undefined, safeCause(error));
}
