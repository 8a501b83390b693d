import { Cluster } from 'ioredis';
import { DatabaseRefused } from './reconnecting-redis.ts';
import { redisReason } from './redis-reason.ts';
import type { RedisClient } from './redis-topology.ts';

/** Log for the state of the connection. */
export interface ConnectionLog {
  warn(details: object, message: string): void;
  info(message: string): void;
}

/** Logs once when the connection is lost and once when it is restored; ioredis emits an error on every attempt. */
export function logConnectionChanges(redis: RedisClient, log: ConnectionLog): void {
  let isLost = false;
  let databaseRefused = false;
  const onLost = (error?: unknown): void => {
    // A refused database is logged even if the connection was lost already: it needs an operator.
    const isNewRefusal = error instanceof DatabaseRefused && !databaseRefused;
    if (!isLost || isNewRefusal) {
      log.warn({ reason: redisReason(error) }, 'Redis connection lost, serving reads without it');
    }
    databaseRefused ||= isNewRefusal;
    isLost = true;
  };
  redis.on('error', onLost);
  redis.on('ready', () => {
    if (isLost) log.info('Redis connection restored');
    isLost = false;
    databaseRefused = false;
  });
  // A cluster that has lost all nodes, or reports itself down, reconnects without an error.
  if (redis instanceof Cluster) redis.on('reconnecting', onLost);
}
