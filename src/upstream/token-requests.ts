import { type Clock } from '../clock.ts';
import { safeCause } from '../errors/cause.ts';
import type { GatewayError } from '../errors/gateway-error.ts';
import { type IssuedToken, TokenFailure } from './token-endpoint.ts';

/** Pause after a failed request, doubled with each consecutive failure up to the longest. In milliseconds. */
const FIRST_COOLDOWN_MS = 1000;
const LONGEST_COOLDOWN_MS = 30_000;

/** Notified after each token request. */
export interface TokenRequestObserver {
  refreshed(failure?: TokenFailure): void;
}

export interface TokenRequestsOptions {
  readonly request: () => Promise<IssuedToken>;
  readonly observer: TokenRequestObserver;
  /** Upper bound for the Retry-After of the token endpoint, in milliseconds. */
  readonly longestPauseMs: number;
  readonly clock: Clock;
  /** @param requestedAt when the request was sent */
  readonly onToken: (token: IssuedToken, requestedAt: number) => void;
}

/** Requests to the token endpoint, shared by all who need a token and one at a time. A failure starts a cooldown. */
export class TokenRequests {
  readonly #options: TokenRequestsOptions;
  #pending: Promise<void> | undefined;
  #failure: TokenFailure | undefined;
  #failuresInARow = 0;
  #coolsDownUntil = -Infinity;

  constructor(options: TokenRequestsOptions) {
    this.#options = options;
  }

  /** Whether the last request failed. */
  get isFailing(): boolean {
    return this.#failure !== undefined;
  }

  get isCoolingDown(): boolean {
    return this.#options.clock.now() < this.#coolsDownUntil;
  }

  /**
   * Resolves when a token was received.
   * @throws {GatewayError} `UpstreamAuthenticationFailed` or `ServiceUnavailable`; at once during a cooldown
   */
  async fetch(): Promise<void> {
    if (!this.#pending && this.#failure && this.isCoolingDown) throw this.#toGatewayError(this.#failure);
    await this.#request();
  }

  /** Requests in the background unless cooling down. A failure matters only when the token is needed. */
  refresh(): void {
    if (!this.isCoolingDown) this.#request().catch(() => undefined);
  }

  /** Requests with new credentials, after the pending request and without regard to former failures. */
  restart(onStart: () => void): void {
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
    this.#pending ??= this.#send().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #send(): Promise<void> {
    const { request, clock, onToken, observer } = this.#options;
    const requestedAt = clock.now();
    let token: IssuedToken;
    try {
      token = await request();
    } catch (error) {
      const failure = error instanceof TokenFailure ? error : unexpected(error);
      this.#coolDown(failure);
      throw this.#toGatewayError(failure);
    }
    this.#failure = undefined;
    this.#failuresInARow = 0;
    onToken(token, requestedAt);
    observer.refreshed();
  }

  #coolDown(failure: TokenFailure): void {
    const { clock, longestPauseMs, observer } = this.#options;
    const backoffMs = Math.min(LONGEST_COOLDOWN_MS, FIRST_COOLDOWN_MS * 2 ** this.#failuresInARow++);
    this.#failure = failure;
    this.#coolsDownUntil = clock.now() + Math.min(longestPauseMs, failure.retryAfterMs ?? backoffMs);
    observer.refreshed(failure);
  }

  #toGatewayError(failure: TokenFailure): GatewayError {
    return failure.toGatewayError(this.#coolsDownUntil - this.#options.clock.now());
  }
}

function unexpected(error: unknown): TokenFailure {
  return new TokenFailure('unavailable', 'the token request failed', undefined, safeCause(error));
}
