import { Cluster } from 'ioredis';
import type { RedisClient } from './redis-way.ts';

/** Where it is told that the store has gone or come back. */
export interface ConnectionLog {
  warn(details: object, message: string): void;
  info(message: string): void;
}

/** ioredis tells of an error on every attempt to reconnect: here one line when it goes, one when it comes back. */
export function tellOfConnection(redis: RedisClient, log: ConnectionLog): void {
  let away = false;
  const goes = (error?: unknown): void => {
    if (!away) log.warn({ reason: reasonOf(error) }, 'redis is away: reads go on without it');
    away = true;
  };
  redis.on('error', goes);
  redis.on('ready', () => {
    if (away) log.info('redis is back');
    away = false;
  });
  // A cluster that has lost all its nodes, or says itself that it is down, reconnects without an error.
  if (redis instanceof Cluster) redis.on('reconnecting', goes);
}

/** What ioredis says in words only. */
const WORDS = [
  ['Command timed out', 'no answer'],
  ['All sentinels are unreachable', 'no sentinel answers'],
  ['Connection closed', 'connection closed'],
  ['No message arrives', 'no message arrives'],
] as const;

/**
 * Why, in a word or two: the system's code, or the one that a server's reply begins with. The rest of a message is left out: it
 * names hosts, and a server may repeat in it what it was sent, passwords included.
 */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no node serves';
  const { code, lastNodeError } = error as NodeJS.ErrnoException & { lastNodeError?: unknown };
  if (lastNodeError instanceof Error) return reasonOf(lastNodeError);
  const [, replied] = /(?:^|Last error: (?:connect )?)([A-Z]{3,}) /.exec(error.message) ?? [];
  const said = WORDS.find(([begins]) => error.message.startsWith(begins))?.[1];
  return code ?? replied ?? said ?? error.name;
}
