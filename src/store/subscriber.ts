import { Cluster, type Redis } from 'ioredis';
import { type Clock, systemClock } from '../clock.ts';
import { reconnectDelayMs } from './redis-options.ts';
import type { RedisClient } from './redis-topology.ts';

/** Timeout for connecting and SUBSCRIBE, in milliseconds. No read waits for it. */
const SUBSCRIBE_TIMEOUT_MS = 2000;
/** Delay after a refused attempt (no permission, too many clients), in milliseconds. */
const REFUSED_DELAY_MS = 1000;

export interface SubscriberOptions {
  readonly channel: string;
  readonly onMessage: (message: string) => void;
  /** SUBSCRIBE was confirmed: messages arrive from now on. */
  readonly onConfirmed: () => void;
  /** Messages may be missed from now on, or an attempt has failed. Undefined for a connection that just closed. */
  readonly onLost: (cause: unknown) => void;
  readonly clock?: Clock;
}

/** Receives the messages of one channel at most once; those published without a subscription are lost. */
export interface Subscriber {
  /** Replaces the connection. @param cause passed to `onLost` */
  reconnect(cause?: unknown): void;
  end(): void;
}

/**
 * Subscribes over a separate connection with the options of the client, because a subscribing connection can do nothing
 * else. In a cluster it goes to a random node: all nodes forward messages. It is replaced, in a cluster by one to
 * another node, when it closes or SUBSCRIBE fails. While the client is disconnected nothing is tried.
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
    // 'end' precedes 'close': a read that arrives right after the server's FIN must already count as after the loss.
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
  // Without a master for the client there is none for this connection either.
  const onClientClosed = (): void => {
    reconnect();
  };
  redis.on('ready', connect).on('close', onClientClosed);
  connect();
  return {
    reconnect,
    end() {
      cancelRetry();
      redis.off('ready', connect).off('close', onClientClosed);
      const connection = current;
      current = undefined;
      connection?.disconnect();
    },
  };
}

/**
 * A new connection, not connected yet; undefined while the client is not ready. Channels do not depend on databases.
 */
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
