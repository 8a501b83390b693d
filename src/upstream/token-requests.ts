import { type Clock } from '../clock.ts';
import { safeCause } from '../errors/cause.ts';
import type { GatewayError } from '../errors/gateway-error.ts';
import { type IssuedToken, TokenFailure } from './token-endpoint.ts';

/** After a failed request nothing is asked for so long; doubled with each in a row, up to the longest. In milliseconds. */
const FIRST_COOLDOWN_MS = 1000;
const LONGEST_COOLDOWN_MS = 30_000;

/** Told of each request for a token. */
export interface TokenRequestObserver {
  refreshed(failure?: TokenFailure): void;
}

export interface TokenRequestsOptions {
  readonly request: () => Promise<IssuedToken>;
  readonly observer: TokenRequestObserver;
  /** The longest that the token endpoint may ask to wait, in milliseconds. */
  readonly longestPauseMs: number;
  readonly clock: Clock;
  /** Takes the token. @param askedAt when it was asked for */
  readonly onToken: (token: IssuedToken, askedAt: number) => void;
}

/** Requests to the token endpoint: one at a time, however many wait for it. A failure is not kept, but cools down. */
export class TokenRequests {
  readonly #options: TokenRequestsOptions;
  #pending: Promise<void> | undefined;
  #failure: TokenFailure | undefined;
  #failuresInARow = 0;
  #coolsDownUntil = -Infinity;

  constructor(options: TokenRequestsOptions) {
    this.#options = options;
  }

  /** The last request failed. */
  get isFailing(): boolean {
    return this.#failure !== undefined;
  }

  get isCoolingDown(): boolean {
    return this.#options.clock.now() < this.#coolsDownUntil;
  }

  /**
   * Resolves when a token was had.
   * @throws {GatewayError} `UpstreamAuthenticationFailed` or `ServiceUnavailable`: at once while it cools down
   */
  async fetch(): Promise<void> {
    if (!this.#pending && this.#failure && this.isCoolingDown) throw this.#answer(this.#failure);
    await this.#request();
  }

  /** Asks in the background, unless it cools down: a failure shows when the token is really needed. */
  refresh(): void {
    if (!this.isCoolingDown) this.#request().catch(() => undefined);
  }

  /** What failed before says nothing of the next request, which is made at once, after the pending one. */
  startAnew(onStart: () => void): void {
    void (this.#pending ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => {
        this.#coolsDownUntil = -Infinity;
        this.#failuresInARow = 0;
        onStart();
        this.refresh();
      });
  }

  #request(): Promise<void> {
    this.#pending ??= this.#ask().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #ask(): Promise<void> {
    const { request, clock, onToken, observer } = this.#options;
    const askedAt = clock.now();
    let token: IssuedToken;
    try {
      token = await request();
    } catch (error) {
      const failure = error instanceof TokenFailure ? error : unexpected(error);
      this.#coolDown(failure);
      throw this.#answer(failure);
    }
    this.#failure = undefined;
    this.#failuresInARow = 0;
    onToken(token, askedAt);
    observer.refreshed();
  }

  #coolDown(failure: TokenFailure): void {
    const { clock, longestPauseMs, observer } = this.#options;
    const backoffMs = Math.min(LONGEST_COOLDOWN_MS, FIRST_COOLDOWN_MS * 2 ** this.#failuresInARow++);
    this.#failure = failure;
    this.#coolsDownUntil = clock.now() + Math.min(longestPauseMs, failure.retryAfterMs ?? backoffMs);
    observer.refreshed(failure);
  }

  #answer(failure: TokenFailure): GatewayError {
    return failure.toAnswer(this.#coolsDownUntil - this.#options.clock.now());
  }
}

function unexpected(error: unknown): TokenFailure {
  return new TokenFailure('unavailable', 'the token could not be asked for', undefined, safeCause(error));
}
