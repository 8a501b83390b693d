import { Cluster } from 'ioredis';
import { DatabaseRefused } from './lasting-redis.ts';
import { redisReason } from './redis-reason.ts';
import type { RedisClient } from './redis-topology.ts';

/** Where it is told that the store has gone or come back. */
export interface ConnectionLog {
  warn(details: object, message: string): void;
  info(message: string): void;
}

/** ioredis tells of an error on every attempt to reconnect: here one line when it goes, one when it comes back. */
export function tellOfConnection(redis: RedisClient, log: ConnectionLog): void {
  let away = false;
  let databaseRefused = false;
  const goes = (error?: unknown): void => {
    // One that comes back only to refuse its database is told of a second time: this does not heal by itself.
    const isNews = error instanceof DatabaseRefused && !databaseRefused;
    if (!away || isNews) log.warn({ reason: redisReason(error) }, 'redis is away: reads go on without it');
    databaseRefused ||= isNews;
    away = true;
  };
  redis.on('error', goes);
  redis.on('ready', () => {
    if (away) log.info('redis is back');
    away = false;
    databaseRefused = false;
  });
  // A cluster that has lost all its nodes, or says itself that it is down, reconnects without an error.
  if (redis instanceof Cluster) redis.on('reconnecting', goes);
}
