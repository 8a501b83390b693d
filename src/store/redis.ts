import { once } from 'node:events';
import { Redis } from 'ioredis';

/** No command is waited for longer, in milliseconds: past that a read does better without the store. */
const COMMAND_TIMEOUT_MS = 100;
const CONNECT_TIMEOUT_MS = 2000;
const LONGEST_RECONNECT_MS = 2000;
/** How long a start waits for the connection before it does without. */
const LONGEST_START_MS = 500;

/** Where it is told that the store has gone or come back. */
export interface ConnectionLog {
  warn(details: object, message: string): void;
  info(message: string): void;
}

/**
 * The one connection to Redis. It connects in the background and for ever again; while it is away every command fails at
 * once, so that nothing waits for it and nothing piles up.
 */
export function connectRedis(url: string, log: ConnectionLog): Redis {
  const redis = new Redis(url, {
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disconnectTimeout: COMMAND_TIMEOUT_MS,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 10), LONGEST_RECONNECT_MS),
  });
  // ioredis tells of an error on every attempt to reconnect: one line when it goes, one when it comes back.
  let away = false;
  redis.on('error', (error: NodeJS.ErrnoException) => {
    if (!away) log.warn({ reason: error.code ?? error.name }, 'redis is away: reads go on without it');
    away = true;
  });
  redis.on('ready', () => {
    if (away) log.info('redis is back');
    away = false;
  });
  return redis;
}

/** Resolves when the connection is there, has failed, or has been waited for long enough. */
export async function untilReady(redis: Redis): Promise<void> {
  if (redis.status === 'ready') return;
  await once(redis, 'ready', { signal: AbortSignal.timeout(LONGEST_START_MS) }).catch(() => undefined);
}
