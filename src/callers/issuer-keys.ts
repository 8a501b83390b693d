import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { codeOf } from '../errors/cause.ts';
import { GatewayError } from '../errors/gateway-error.ts';

/** So long the keys are asked for once at the most, in milliseconds: unknown keys, which anyone can name, ask no more often. */
const COOLDOWN_MS = 2000;
/** After a failure nothing is asked for so long. */
const FAILURE_COOLDOWN_MS = 5000;
/** Keys older than this are asked for again, while they are used: one that is gone is not believed for ever. */
const FRESH_MS = 600_000;
/** How many tokens may wait for keys. */
const MOST_WAITING = 1000;

/** Told of each time the keys were asked for. */
export interface KeysObserver {
  keysRead(count: number): void;
  /** @param code of what caused it, such as `ECONNREFUSED` */
  keysFailed(reason: string, code?: string): void;
}

export interface IssuerKeysOptions {
  /** Asks for the keys, bounded in time. What it throws holds no secret. */
  readonly request: () => Promise<JSONWebKeySet>;
  readonly observer: KeysObserver;
  readonly cooldownMs?: number;
  readonly failureCooldownMs?: number;
  readonly freshMs?: number;
}

interface Held {
  readonly match: JWTVerifyGetKey;
  readonly askedAt: number;
}

/**
 * The public keys of the issuer. One request at a time, however many tokens wait for it. A token of an unknown key waits
 * for keys that were asked for after it came: those that are on the way may be from before the key was made.
 * While the issuer cannot be reached, keys that are held go on.
 */
export class IssuerKeys {
  #held: Held | undefined;
  #pending: Promise<void> | undefined;
  #waiting = 0;
  #askAgainAt = -Infinity;
  #failedUntil = -Infinity;
  #failure: Error | undefined;

  constructor(private readonly options: IssuerKeysOptions) {}

  /**
   * The key of a token's head.
   * @throws {GatewayError} `ServiceUnavailable` when the keys cannot be had: whether the token is good is not known, and
   *   401 would make its caller throw away a good one and ask the issuer, which is in trouble, for another
   * @throws {errors.JWKSNoMatchingKey} when the issuer has no such key
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    const cameAt = performance.now();
    this.#freshen();
    for (;;) {
      const held = this.#held;
      try {
        if (held) return await held.match(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey) || (held && held.askedAt >= cameAt)) throw error;
      }
      await this.#wait();
    }
  };

  async #wait(): Promise<void> {
    if (this.#waiting >= MOST_WAITING) throw unavailable(this.options.cooldownMs ?? COOLDOWN_MS);
    this.#waiting++;
    try {
      await this.#ask();
    } finally {
      this.#waiting--;
    }
  }

  /** Old keys are good while newer ones come, and when none do. */
  #freshen(): void {
    const { freshMs = FRESH_MS } = this.options;
    if (!this.#held || performance.now() < this.#held.askedAt + freshMs) return;
    this.#ask().catch(() => undefined);
  }

  #ask(): Promise<void> {
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
    await pause(this.#askAgainAt - performance.now());
    const askedAt = performance.now();
    this.#askAgainAt = askedAt + cooldownMs;
    try {
      const set = await request();
      this.#held = { match: createLocalJWKSet(set), askedAt };
      observer.keysRead(set.keys.length);
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
