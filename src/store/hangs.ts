import type { Redis } from 'ioredis';

/** One timeout may be our own event loop that was blocked; so many in a row are a Redis that hangs. */
const TIMEOUTS_IN_A_ROW = 3;
/**
 * A command that is sent after a timeout has one of its own no sooner than a command's 100 ms later, or a little less by
 * the timers' grain. What times out before was sent before, and tells of the same moment. In milliseconds.
 */
const LEAST_APART_MS = 90;

/** Takes a Redis that answers nothing for one that is away: from then on commands fail at once, until it is back. */
export class Hangs {
  #timeouts = 0;
  #countedAt = -Infinity;

  constructor(private readonly redis: Redis) {}

  answered(): void {
    this.#timeouts = 0;
  }

  /** @returns whether Redis is away: otherwise one answer did not come in time */
  failed(error: unknown): boolean {
    const timedOut = error instanceof Error && error.message === 'Command timed out';
    if (timedOut) this.#count(performance.now());
    else this.#timeouts = 0;
    if (this.#timeouts < TIMEOUTS_IN_A_ROW) return !timedOut;
    this.#timeouts = 0;
    this.redis.emit('error', new Error(error instanceof Error ? error.message : 'no answer'));
    this.redis.disconnect(true);
    return true;
  }

  #count(now: number): void {
    if (now - this.#countedAt < LEAST_APART_MS) return;
    this.#countedAt = now;
    this.#timeouts++;
  }
}
