import type { Redis } from 'ioredis';
import { BoundedRedis } from './bounded-redis.ts';
import { reconnectDelayMs } from './redis-options.ts';

/** The server refuses the database in `REDIS_URL`: the number does not exist, or the user may not SELECT. */
export class DatabaseRefused extends Error {
  override readonly name = 'DatabaseRefused';
  constructor(database: number | string, cause: unknown) {
    super(`REDIS_URL: database ${database} is refused`, { cause });
  }
}

/** A client that reconnects without end, and never continues in another database. */
export class ReconnectingRedis extends BoundedRedis {
  #isClosed = false;
  #failures = 0;

  /**
   * After a failed SELECT ioredis continues in database 0, which may belong to another program. Here the connection is
   * closed before it is ready, and retried later.
   */
  override async select(...args: Parameters<Redis['select']>): Promise<'OK'> {
    try {
      return await super.select(...args);
    } catch (error) {
      // Precedes ioredis' own event, which does not name the database.
      if (this.listenerCount('error') > 0) this.emit('error', new DatabaseRefused(args[0], error));
      this.disconnect(true);
      throw error;
    }
  }

  /** ioredis ends for good when it cannot even try to connect, for example to an invalid address from a sentinel. */
  override async connect(...args: Parameters<Redis['connect']>): Promise<void> {
    try {
      await super.connect(...args);
      this.#failures = 0;
    } catch (error) {
      if (this.status === 'end' && !this.#isClosed) this.#scheduleConnect();
      throw error;
    }
  }

  override disconnect(reconnect = false): void {
    if (!reconnect) this.#isClosed = true;
    super.disconnect(reconnect);
  }

  #scheduleConnect(): void {
    setTimeout(() => {
      if (this.status === 'end' && !this.#isClosed) this.connect().catch(() => undefined);
    }, reconnectDelayMs(++this.#failures)).unref();
  }
}
