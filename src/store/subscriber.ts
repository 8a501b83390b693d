import { Cluster, type Redis } from 'ioredis';
import { type Clock, systemClock } from '../clock.ts';
import { reconnectDelayMs } from './redis-options.ts';
import type { RedisClient } from './redis-topology.ts';

/** How long SUBSCRIBE and what goes before it may take, in milliseconds: no read waits for it. */
const SUBSCRIBE_TIMEOUT_MS = 2000;
/** After an attempt that Redis itself has refused (no permission, too many clients), in milliseconds. */
const REFUSED_DELAY_MS = 1000;

export interface SubscriberOptions {
  readonly channel: string;
  readonly onMessage: (message: string) => void;
  /** SUBSCRIBE has been confirmed: from now on messages arrive. */
  readonly onConfirmed: () => void;
  /** Messages may be missed from now on, or an attempt has failed. With nothing when the connection was just closed. */
  readonly onLost: (cause: unknown) => void;
  readonly clock?: Clock;
}

/** One channel's messages, each at most once: one that is published while there is no subscription is not received. */
export interface Subscriber {
  /** Gives the connection up and makes another. @param cause handed on to `onLost` */
  reconnect(cause?: unknown): void;
  end(): void;
}

/**
 * Subscribes over a connection of its own, by the settings of the client's: a connection that subscribes may do nothing else. In a cluster it is
 * one to any node, since all nodes pass on what is published. The connection is made anew, and to another node, whenever it closes and whenever
 * SUBSCRIBE is refused. While the client itself is away nothing is tried.
 */
export function subscribe(redis: RedisClient, options: SubscriberOptions): Subscriber {
  const { channel, onMessage, onConfirmed, onLost, clock = systemClock } = options;
  let current: Redis | undefined;
  let failures = 0;
  let cancelRetry = (): void => undefined;

  const lost = (connection: Redis, cause: unknown): void => {
    if (current !== connection) return;
    current = undefined;
    connection.disconnect();
    onLost(cause);
    failures++;
    const isRefused = failures > 1 && redis.status === 'ready';
    cancelRetry = clock.after(isRefused ? REFUSED_DELAY_MS : reconnectDelayMs(failures), connect);
  };

  const connect = (): void => {
    cancelRetry();
    const connection = current ? undefined : newConnection(redis);
    if (!connection) return;
    current = connection;
    let cause: unknown;
    connection.on('error', (error) => {
      cause = error;
    });
    connection.on('message', (_channel, message) => {
      if (current === connection) onMessage(message);
    });
    connection.on('close', () => {
      lost(connection, cause);
    });
    // Node closes a socket at the end of its turn: a read that came in after the server's FIN would still be served what was held before.
    connection.on('connect', () => {
      connection.stream.once('end', () => {
        lost(connection, cause);
      });
    });
    connection
      .connect()
      .then(() => connection.subscribe(channel))
      .then(
        () => {
          if (current !== connection) return;
          failures = 0;
          onConfirmed();
        },
        (error: unknown) => {
          lost(connection, cause ?? error);
        },
      );
  };

  const reconnect = (cause?: unknown): void => {
    if (current) lost(current, cause);
  };
  // Where the client has found no master any more, there is none for this connection either.
  const clientClosed = (): void => {
    reconnect();
  };
  redis.on('ready', connect).on('close', clientClosed);
  connect();
  return {
    reconnect,
    end() {
      cancelRetry();
      redis.off('ready', connect).off('close', clientClosed);
      const connection = current;
      current = undefined;
      connection?.disconnect();
    },
  };
}

/** Not connected yet. Nothing while the client is away: it tells when it is ready. Channels are those of the server, not of a database. */
function newConnection(redis: RedisClient): Redis | undefined {
  if (redis.status !== 'ready') return undefined;
  const once = {
    lazyConnect: true,
    autoResubscribe: false,
    retryStrategy: () => null,
    commandTimeout: SUBSCRIBE_TIMEOUT_MS,
  };
  if (!(redis instanceof Cluster))
    return redis.duplicate({ ...once, db: 0, sentinelRetryStrategy: () => null });
  const nodes = redis.nodes().filter(({ status }) => status === 'ready');
  return nodes[Math.floor(Math.random() * nodes.length)]?.duplicate({ ...once, readOnly: false });
}
