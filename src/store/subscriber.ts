import { Cluster } from 'ioredis';
import { type Clock, systemClock } from '../clock.ts';
import type { RedisClient } from './redis-way.ts';

/** How often it is said again what is subscribed to, in milliseconds. */
const AGAIN_MS = 5000;

/** Notifications, each at most once: one that is published while the connection is away is not heard. */
export interface Subscriber {
  /** From as soon as Redis is there. A channel has one listener, the last. */
  subscribe(channel: string, onMessage: (message: string) => void): void;
  end(): void;
}

/**
 * A second connection by the same settings, made when it is first needed: one that subscribes may do nothing else. A cluster's client keeps one beside its own,
 * at any node. Subscribing is said again whenever the connection is there anew, and from time to time: that mends a subscription that
 * was refused or lost without a word, and finds out a connection that hangs.
 */
export function subscriber(redis: RedisClient, clock: Clock = systemClock): Subscriber {
  const listeners = new Map<string, (message: string) => void>();
  const connection = redis instanceof Cluster ? redis : secondConnection(redis);
  const say = (channels: readonly string[]): void => {
    if (connection.status === 'wait' || connection.status === 'end')
      connection.connect().catch(() => undefined);
    if (connection.status !== 'ready') return;
    connection.subscribe(...channels).catch((error: unknown) => {
      leaveIfHung(connection, error);
    });
  };
  const sayAgain = (): void => {
    if (listeners.size > 0) say([...listeners.keys()]);
  };
  const hear = (channel: string, message: string): void => {
    listeners.get(channel)?.(message);
  };
  connection.on('ready', sayAgain).on('message', hear);
  const sayFromTimeToTime = (): void => {
    sayAgain();
    cancel = clock.after(AGAIN_MS, sayFromTimeToTime);
  };
  let cancel = clock.after(AGAIN_MS, sayFromTimeToTime);
  return {
    subscribe(channel, onMessage) {
      listeners.set(channel, onMessage);
      say([channel]);
    },
    end() {
      cancel();
      connection.off('ready', sayAgain).off('message', hear);
      if (connection !== redis) connection.disconnect();
    },
  };
}

/**
 * It tells nobody of its errors: what keeps it away keeps the first connection away as well, which tells. Channels are those of
 * the server, not of a database.
 */
function secondConnection(redis: Exclude<RedisClient, Cluster>): RedisClient {
  const second = redis.duplicate({ autoResubscribe: false, lazyConnect: true, db: 0 });
  second.on('error', () => undefined);
  // Where the first has found no master any more, this one has none either.
  redis.on('close', () => {
    if (second.status === 'ready') second.disconnect(true);
  });
  return second;
}

function leaveIfHung(connection: RedisClient, error: unknown): void {
  const hangs = error instanceof Error && error.message === 'Command timed out';
  if (hangs && connection.status === 'ready' && !(connection instanceof Cluster)) connection.disconnect(true);
}
