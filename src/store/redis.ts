import { once } from 'node:events';
import { Cluster, type RedisOptions } from 'ioredis';
import type { BoundedRedis } from './bounded-redis.ts';
import { type ConnectionLog, tellOfConnection } from './connection-log.ts';
import { LastingRedis } from './lasting-redis.ts';
import { type BoundedCluster, connectCluster } from './redis-cluster.ts';
import { connectionOptions, LONGEST_COMMAND_MS, reconnectDelayMs } from './redis-options.ts';
import './redis-replies.ts';
import { replyCode } from './reply-code.ts';
import type { RedisClient, RedisLogin, RedisTopology } from './redis-topology.ts';

/** How long a start waits for the connection before it does without. */
const LONGEST_START_MS = 500;
/** The longest wait for a sentinel, connecting included, before the next is asked. */
const SENTINEL_TIMEOUT_MS = 1000;

/**
 * The gateway's client of Redis. It connects in the background and for ever again; while Redis is away every command fails at
 * once, so that nothing waits for it and nothing piles up.
 */
export function connectRedis(way: RedisTopology, log: ConnectionLog): BoundedRedis | BoundedCluster {
  const redis = connect(way);
  tellOfConnection(redis, log);
  return redis;
}

function connect(way: RedisTopology): BoundedRedis | BoundedCluster {
  switch (way.kind) {
    case 'server': {
      const { host, port, database: db } = way;
      return new LastingRedis({ ...oneServer(way.login), host, port, db });
    }
    case 'sentinel':
      return new LastingRedis({ ...oneServer(way.login), ...throughSentinel(way) });
    case 'cluster':
      return connectCluster(way);
  }
}

function oneServer(login: RedisLogin) {
  return {
    ...connectionOptions(login),
    // Of connections that are made like this one; its own commands are bounded one by one.
    commandTimeout: LONGEST_COMMAND_MS,
    enableOfflineQueue: false,
    retryStrategy: reconnectDelayMs,
    // A master that has become a replica keeps its connections: where it is now is found out by connecting anew.
    reconnectOnError: (error: Error) => replyCode(error) === 'READONLY',
  } satisfies RedisOptions;
}

/** ioredis asks the sentinels on every connect, each in turn, and takes only a server that says itself that it is the master. */
function throughSentinel(way: RedisTopology & { readonly kind: 'sentinel' }) {
  return {
    sentinels: [...way.sentinels],
    name: way.masterName,
    sentinelPassword: way.sentinelPassword,
    sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
    sentinelRetryStrategy: reconnectDelayMs,
    ...(way.login.tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
  } satisfies RedisOptions;
}

/** Resolves when the connection is there (to every master of a cluster), has failed, or has been waited for long enough. */
export async function untilReady(redis: RedisClient): Promise<void> {
  const signal = AbortSignal.timeout(LONGEST_START_MS);
  const ready = async (client: RedisClient): Promise<void> => {
    if (client.status !== 'ready') await once(client, 'ready', { signal }).catch(() => undefined);
  };
  await ready(redis);
  if (redis instanceof Cluster) await Promise.all(redis.nodes('master').map(ready));
}
