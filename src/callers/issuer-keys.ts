import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { codeOf } from '../errors/cause.ts';
import { GatewayError } from '../errors/gateway-error.ts';

/** Least time between two requests, in milliseconds: anyone can send tokens with unknown keys. */
const COOLDOWN_MS = 2000;
/** Pause after a failed request, in milliseconds. */
const FAILURE_COOLDOWN_MS = 5000;
/** Keys in use are requested again at this age, in milliseconds, so that a withdrawn key is not trusted for ever. */
const FRESH_MS = 600_000;
/** How many tokens may wait for keys at a time. */
const MOST_WAITING = 1000;

/** Told of each request for keys. */
export interface KeysObserver {
  keysLoaded(count: number): void;
  /** @param code of what caused it, such as `ECONNREFUSED` */
  keysFailed(reason: string, code?: string): void;
}

export interface IssuerKeysOptions {
  /** Requests the keys, bounded in time. Its errors hold no secret. */
  readonly request: () => Promise<JSONWebKeySet>;
  readonly observer: KeysObserver;
  readonly cooldownMs?: number;
  readonly failureCooldownMs?: number;
  readonly freshMs?: number;
}

interface KeySet {
  readonly match: JWTVerifyGetKey;
  readonly requestedAt: number;
}

/**
 * The public keys of the issuer. There is one request at a time, however many tokens wait for it. A token with an
 * unknown key waits for keys that were requested after the token came: a pending request may be older than the key.
 * While the issuer cannot be reached, the keys in use stay valid.
 */
export class IssuerKeys {
  #keys: KeySet | undefined;
  #pending: Promise<void> | undefined;
  #waiting = 0;
  #nextRequestAt = -Infinity;
  #failedUntil = -Infinity;
  #failure: Error | undefined;

  constructor(private readonly options: IssuerKeysOptions) {}

  /**
   * Finds the key that a token's header names.
   * @throws {GatewayError} `ServiceUnavailable` if the keys cannot be loaded. A 401 would make the caller discard a
   * token that may be valid, and request another from an issuer in trouble
   * @throws {errors.JWKSNoMatchingKey} if the issuer has no such key
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    const cameAt = performance.now();
    this.#reloadOld();
    for (;;) {
      const keys = this.#keys;
      try {
        if (keys) return await keys.match(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey) || (keys && keys.requestedAt >= cameAt)) throw error;
      }
      await this.#wait();
    }
  };

  async #wait(): Promise<void> {
    if (this.#waiting >= MOST_WAITING) throw unavailable(this.options.cooldownMs ?? COOLDOWN_MS);
    this.#waiting++;
    try {
      await this.#load();
    } finally {
      this.#waiting--;
    }
  }

  /** Requests keys again in the background. The old ones stay in use until then, and if the request fails. */
  #reloadOld(): void {
    const { freshMs = FRESH_MS } = this.options;
    if (!this.#keys || performance.now() < this.#keys.requestedAt + freshMs) return;
    this.#load().catch(() => undefined);
  }

  #load(): Promise<void> {
    const failedForMs = this.#failedUntil - performance.now();
    if (failedForMs > 0) return Promise.reject(unavailable(failedForMs, this.#failure));
    this.#pending ??= this.#request().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #request(): Promise<void> {
    const {
      request,
      observer,
      cooldownMs = COOLDOWN_MS,
      failureCooldownMs = FAILURE_COOLDOWN_MS,
    } = this.options;
    await pause(this.#nextRequestAt - performance.now());
    const requestedAt = performance.now();
    this.#nextRequestAt = requestedAt + cooldownMs;
    try {
      const set = await request();
      this.#keys = { match: createLocalJWKSet(set), requestedAt };
      observer.keysLoaded(set.keys.length);
    } catch (error) {
      this.#failedUntil = performance.now() + failureCooldownMs;
      this.#failure = error instanceof Error ? error : undefined;
      observer.keysFailed(this.#failure?.message ?? 'unknown', codeOf(error));
      throw unavailable(failureCooldownMs, this.#failure);
    }
  }
}

function unavailable(retryAfterMs: number, cause?: Error): GatewayError {
  return GatewayError.of('ServiceUnavailable', { retryAfterMs, cause });
}

async function pause(ms: number): Promise<void> {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
}
