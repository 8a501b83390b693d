import type { Redis } from 'ioredis';

/** Listening takes a connection of its own. */
export interface Subscriber {
  end(): void;
}

/**
 * Hears what is published on a channel, for ever again after each loss. What is said while it is away is lost: who waits for
 * word also waits for something else.
 */
export function subscribe(redis: Redis, channel: string, onMessage: (message: string) => void): Subscriber {
  const ears = redis.duplicate({ commandTimeout: undefined, enableOfflineQueue: true });
  // The other connection tells of its going and coming.
  ears.on('error', () => undefined);
  ears.on('message', (_channel, message) => {
    onMessage(message);
  });
  ears.subscribe(channel).catch(() => undefined);
  return {
    end: () => {
      ears.disconnect();
    },
  };
}
