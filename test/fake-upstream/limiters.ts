/** At most `limit` requests in a window of `windowMs` milliseconds. */
export interface Limit {
  readonly limit: number;
  readonly windowMs: number;
}

/**
 * `fixed`: windows start at multiples of their length. `sliding`: any stretch of that length is a window. `bucket`: as
 * many tokens as the limit, which come back evenly over a window.
 */
export type WindowKind = 'fixed' | 'sliding' | 'bucket';

/** All times in milliseconds on one clock that does not go back. */
export interface Limiter extends Limit {
  /** null: would be admitted now; else the milliseconds until it would be. Counts nothing. */
  check(nowMs: number): number | null;
  /** Counts one request. */
  count(nowMs: number): void;
  /** null: admitted and counted; else the milliseconds until it would be admitted. */
  tryAcquire(nowMs: number): number | null;
}

/** A counter that starts over at each multiple of the window: lets up to twice the limit through around a boundary. */
export class FixedWindow implements Limiter {
  readonly limit: number;
  readonly windowMs: number;
  #window = -1;
  #counted = 0;

  constructor({ limit, windowMs }: Limit) {
    this.limit = limit;
    this.windowMs = windowMs;
  }

  check(nowMs: number): number | null {
    const window = Math.floor(nowMs / this.windowMs);
    if (window !== this.#window || this.#counted < this.limit) return null;
    return (window + 1) * this.windowMs - nowMs;
  }

  count(nowMs: number): void {
    const window = Math.floor(nowMs / this.windowMs);
    this.#counted = window === this.#window ? this.#counted + 1 : 1;
    this.#window = window;
  }

  tryAcquire(nowMs: number): number | null {
    return tryAcquireAll([this], nowMs);
  }
}

/** An exact log of what was admitted; a request leaves it `windowMs` after it came. */
export class SlidingWindow implements Limiter {
  readonly limit: number;
  readonly windowMs: number;
  readonly #log: number[] = [];

  constructor({ limit, windowMs }: Limit) {
    this.limit = limit;
    this.windowMs = windowMs;
  }

  check(nowMs: number): number | null {
    while (this.#oldestLeaves <= nowMs) this.#log.shift();
    return this.#log.length < this.limit ? null : this.#oldestLeaves - nowMs;
  }

  count(nowMs: number): void {
    this.#log.push(nowMs);
  }

  tryAcquire(nowMs: number): number | null {
    return tryAcquireAll([this], nowMs);
  }

  get #oldestLeaves(): number {
    return (this.#log[0] ?? Infinity) + this.windowMs;
  }
}

/** A token bucket, full at first: lets up to twice the limit through in the first window after idling. */
export class TokenBucket implements Limiter {
  readonly limit: number;
  readonly windowMs: number;
  #tokens: number;
  #countedAt = 0;

  constructor({ limit, windowMs }: Limit) {
    this.limit = limit;
    this.windowMs = windowMs;
    this.#tokens = limit;
  }

  check(nowMs: number): number | null {
    const tokens = this.#tokensAt(nowMs);
    return tokens >= 1 ? null : (1 - tokens) * (this.windowMs / this.limit);
  }

  count(nowMs: number): void {
    this.#tokens = this.#tokensAt(nowMs) - 1;
    this.#countedAt = nowMs;
  }

  tryAcquire(nowMs: number): number | null {
    return tryAcquireAll([this], nowMs);
  }

  #tokensAt(nowMs: number): number {
    const back = ((nowMs - this.#countedAt) * this.limit) / this.windowMs;
    return Math.min(this.limit, this.#tokens + back);
  }
}

/** Admitted only when all admit, and only then counted in all: a refused request counts in none. */
export function tryAcquireAll(limiters: readonly Limiter[], nowMs: number): number | null {
  const waits = limiters.map((limiter) => limiter.check(nowMs)).filter((wait) => wait !== null);
  if (waits.length > 0) return Math.max(...waits);
  for (const limiter of limiters) limiter.count(nowMs);
  return null;
}

const LIMITERS = { fixed: FixedWindow, sliding: SlidingWindow, bucket: TokenBucket };

/** Empty limiters for these limits. */
export function limitersFor(limits: readonly Limit[], kind: WindowKind): Limiter[] {
  return limits.map((limit) => new LIMITERS[kind](limit));
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `100/2s,300/10s` → limits; the empty text is no limit. Throws an Error that says what is wrong. */
export function parseLimits(text: string): Limit[] {
  if (text.trim() === '') return [];
  return text.split(',').map((part) => {
    const [, limit, length, unit = ''] = /^\s*(\d+)\/(\d+)(ms|s|m|h)\s*$/.exec(part) ?? [];
    const parsed = { limit: Number(limit), windowMs: Number(length) * (UNIT_MS[unit] ?? NaN) };
    if (parsed.limit >= 1 && parsed.windowMs >= 1) return parsed;
    throw new Error(`limits must be such as 100/2s,300/10s (units ms, s, m, h), not "${text}"`);
  });
}
