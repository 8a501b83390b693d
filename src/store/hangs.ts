import type { Redis } from 'ioredis';

/** One timeout may be our own event loop that was blocked; so many in a row are a Redis that hangs. */
const TIMEOUTS_IN_A_ROW = 3;

/** Takes a Redis that answers nothing for one that is away: from then on commands fail at once, until it is back. */
export class Hangs {
  #timeouts = 0;

  constructor(private readonly redis: Redis) {}

  answered(): void {
    this.#timeouts = 0;
  }

  /** @returns whether Redis is away: otherwise one answer did not come in time */
  failed(error: unknown): boolean {
    const timedOut = error instanceof Error && error.message === 'Command timed out';
    this.#timeouts = timedOut ? this.#timeouts + 1 : 0;
    if (this.#timeouts < TIMEOUTS_IN_A_ROW) return !timedOut;
    this.#timeouts = 0;
    this.redis.emit('error', new Error(error instanceof Error ? error.message : 'no answer'));
    this.redis.disconnect(true);
    return true;
  }
}
