import { Cluster, type ClusterNode, type ClusterOptions, type Redis } from 'ioredis';
import { systemClock } from '../clock.ts';
import { RoundTrip } from '../round-trip.ts';
import { limitCommandTime } from './bounded-redis.ts';
import { withCheckedSlots } from './cluster-slots.ts';
import { connectionOptions, reconnectDelayMs } from './redis-options.ts';
import type { RedisTopology } from './redis-topology.ts';

/** A node that sends nothing for this long during a command is disconnected. In milliseconds. */
const NODE_TIMEOUT_MS = 1000;
/** Interval of refreshing the slot map, in milliseconds. A `MOVED` reply refreshes it as well. */
const SLOTS_INTERVAL_MS = 5000;

/**
 * A cluster client with a timeout for each command as a whole, including redirections. ioredis' own `commandTimeout`
 * would also apply while nodes connect: on a busy start the cluster would seem unavailable. Connecting brings no samples
 * of the round-trip time: a timeout is a sample as well, so that later timeouts grow to the distance of the cluster.
 */
export class BoundedCluster extends Cluster {
  readonly roundTrip = new RoundTrip();

  override sendCommand(...[command, ...rest]: Parameters<Cluster['sendCommand']>): unknown {
    if (this.status === 'ready') this.#limitTime(command);
    return super.sendCommand(command, ...rest);
  }

  #limitTime(command: Parameters<Cluster['sendCommand']>[0]): void {
    const { roundTrip } = this;
    const { timeoutMs } = roundTrip;
    limitCommandTime(command, roundTrip, timeoutMs, systemClock, () => {
      roundTrip.observe(timeoutMs);
    });
  }
}

/** Internal method of ioredis that fetches the slot map from a node. */
interface SlotsReader {
  getInfoFromNode(redis: Redis | undefined, onRead: (error?: Error) => void): void;
}

/** Validates the slot maps that nodes reply with. */
function checkSlots(cluster: Cluster): void {
  const reader = cluster as unknown as SlotsReader;
  const read = reader.getInfoFromNode.bind(cluster);
  reader.getInfoFromNode = (redis, onRead) => {
    read(redis && withCheckedSlots(redis), onRead);
  };
}

/**
 * Connects to a cluster. Commands that fail are not retried (the delays are 0): while a master is unavailable, the keys
 * in its slots are misses. Lost nodes are replaced through `MOVED` replies and the refresh of the slot map.
 */
export function connectCluster({
  nodes,
  login,
}: RedisTopology & { readonly kind: 'cluster' }): BoundedCluster {
  const options = {
    redisOptions: { ...connectionOptions(login), socketTimeout: NODE_TIMEOUT_MS },
    enableOfflineQueue: false,
    clusterRetryStrategy: reconnectDelayMs,
    maxRedirections: 4,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshInterval: SLOTS_INTERVAL_MS,
    // Node resolves the name on connecting; TLS needs the name, because the certificate is for it.
    dnsLookup: (hostname, found) => {
      found(null, hostname);
    },
  } satisfies ClusterOptions;
  const cluster = new BoundedCluster(nodes as ClusterNode[], options);
  checkSlots(cluster);
  stayConnected(cluster);
  return cluster;
}

/**
 * Connects to every node, replicas included, and not only on first use as ioredis does: the first reads then find their
 * copies, and an idle gateway notices when the cluster becomes unavailable.
 */
function stayConnected(cluster: Cluster): void {
  const connect = (node: { status: string; connect(): Promise<void> }): void => {
    if (node.status === 'wait') node.connect().catch(() => undefined);
  };
  cluster.on('ready', () => {
    cluster.nodes().forEach(connect);
  });
  cluster.on('+node', (node: Parameters<typeof connect>[0]) => {
    if (cluster.status === 'ready') connect(node);
  });
}
