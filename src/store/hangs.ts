import { Cluster } from 'ioredis';
import type { RedisClient } from './redis-way.ts';

/** One timeout may be our own event loop that was blocked; so many in a row are a Redis that hangs. */
const TIMEOUTS_IN_A_ROW = 3;

/**
 * Takes a Redis that answers nothing for one that is away, and a cluster that says it is down: from then on commands fail at once,
 * until it is back. Of a cluster that answers nothing, each node is given up by itself: the others serve on.
 */
export class Hangs {
  #timeouts = 0;

  constructor(private readonly redis: RedisClient) {}

  answered(): void {
    this.#timeouts = 0;
  }

  failed(error: unknown): void {
    const message = error instanceof Error ? error.message : '';
    this.#timeouts = message === 'Command timed out' ? this.#timeouts + 1 : 0;
    const isAway =
      this.redis instanceof Cluster ? message.startsWith('CLUSTERDOWN') : this.#timeouts >= TIMEOUTS_IN_A_ROW;
    if (isAway) this.#goAway(error);
  }

  #goAway(error: unknown): void {
    this.#timeouts = 0;
    // What was sent before tells of the same fault after the connection has been given up.
    if (this.redis.status !== 'ready') return;
    this.redis.emit('error', error);
    this.redis.disconnect(true);
  }
}
