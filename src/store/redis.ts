import { once } from 'node:events';
import { Cluster, type RedisOptions } from 'ioredis';
import type { BoundedRedis } from './bounded-redis.ts';
import { type ConnectionLog, logConnectionChanges } from './connection-log.ts';
import { ReconnectingRedis } from './reconnecting-redis.ts';
import { type BoundedCluster, connectCluster } from './redis-cluster.ts';
import { connectionOptions, LONGEST_COMMAND_MS, reconnectDelayMs } from './redis-options.ts';
import './redis-replies.ts';
import { replyCode } from './reply-code.ts';
import type { RedisClient, RedisLogin, RedisTopology } from './redis-topology.ts';

/** Longest wait for the connection at startup. */
const LONGEST_START_MS = 500;
/** Timeout for one sentinel, connecting included, before the next is tried. */
const SENTINEL_TIMEOUT_MS = 1000;

/**
 * Creates the gateway's client of Redis. It connects and reconnects in the background; while it is not connected, every
 * command fails at once, so that no read waits and nothing is queued.
 */
export function connectRedis(topology: RedisTopology, log: ConnectionLog): BoundedRedis | BoundedCluster {
  const redis = connect(topology);
  logConnectionChanges(redis, log);
  return redis;
}

function connect(topology: RedisTopology): BoundedRedis | BoundedCluster {
  switch (topology.kind) {
    case 'server': {
      const { host, port, database: db } = topology;
      return new ReconnectingRedis({ ...serverOptions(topology.login), host, port, db });
    }
    case 'sentinel':
      return new ReconnectingRedis({ ...serverOptions(topology.login), ...sentinelOptions(topology) });
    case 'cluster':
      return connectCluster(topology);
  }
}

function serverOptions(login: RedisLogin) {
  return {
    ...connectionOptions(login),
    // Applies to duplicates of this connection; BoundedRedis limits its own commands.
    commandTimeout: LONGEST_COMMAND_MS,
    enableOfflineQueue: false,
    retryStrategy: reconnectDelayMs,
    // A demoted master keeps its connections; reconnecting finds the new master.
    reconnectOnError: (error: Error) => replyCode(error) === 'READONLY',
  } satisfies RedisOptions;
}

/** On every connect ioredis asks each sentinel in turn, and accepts only a server that reports itself as the master. */
function sentinelOptions(topology: RedisTopology & { readonly kind: 'sentinel' }) {
  return {
    sentinels: [...topology.sentinels],
    name: topology.masterName,
    sentinelPassword: topology.sentinelPassword,
    sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
    sentinelRetryStrategy: reconnectDelayMs,
    ...(topology.login.tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
  } satisfies RedisOptions;
}

/** Resolves when connected (to every master of a cluster), or after a timeout. */
export async function untilReady(redis: RedisClient): Promise<void> {
  const signal = AbortSignal.timeout(LONGEST_START_MS);
  const ready = async (client: RedisClient): Promise<void> => {
    if (client.status !== 'ready') await once(client, 'ready', { signal }).catch(() => undefined);
  };
  await ready(redis);
  if (redis instanceof Cluster) await Promise.all(redis.nodes('master').map(ready));
}
