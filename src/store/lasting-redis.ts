import type { Redis } from 'ioredis';
import { BoundedRedis } from './bounded-redis.ts';
import { reconnectDelayMs } from './redis-options.ts';

/** The server refuses the database that `REDIS_URL` names: there is none of that number, or the user may not choose one. */
export class DatabaseRefused extends Error {
  override readonly name = 'DatabaseRefused';
  constructor(database: number | string, cause: unknown) {
    super(`REDIS_URL: database ${database} is refused`, { cause });
  }
}

/** A connection of ioredis that does not give up, and does not make do with another database. */
export class LastingRedis extends BoundedRedis {
  #left = false;
  #failures = 0;

  /**
   * ioredis tells of a SELECT that failed and goes on all the same, in database 0, which may be another program's: here the
   * connection is given up before it is ready, and made anew later.
   */
  override async select(...args: Parameters<Redis['select']>): Promise<'OK'> {
    try {
      return await super.select(...args);
    } catch (error) {
      // Before what ioredis itself emits of the same fault, which does not say what was refused.
      if (this.listenerCount('error') > 0) this.emit('error', new DatabaseRefused(args[0], error));
      this.disconnect(true);
      throw error;
    }
  }

  /** ioredis ends for good where it cannot so much as try, with an address that a sentinel has made up, say. */
  override async connect(...args: Parameters<Redis['connect']>): Promise<void> {
    try {
      await super.connect(...args);
      this.#failures = 0;
    } catch (error) {
      if (this.status === 'end' && !this.#left) this.#connectLater();
      throw error;
    }
  }

  override disconnect(reconnect = false): void {
    if (!reconnect) this.#left = true;
    super.disconnect(reconnect);
  }

  #connectLater(): void {
    setTimeout(() => {
      if (this.status === 'end' && !this.#left) this.connect().catch(() => undefined);
    }, reconnectDelayMs(++this.#failures)).unref();
  }
}
