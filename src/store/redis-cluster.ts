import { Cluster, type ClusterNode, type ClusterOptions, type Redis } from 'ioredis';
import { systemClock } from '../clock.ts';
import { RoundTrip } from '../round-trip.ts';
import { bound } from './bounded-redis.ts';
import { withCheckedSlots } from './cluster-slots.ts';
import { connectionOptions, reconnectDelayMs } from './redis-options.ts';
import type { RedisTopology } from './redis-topology.ts';

/** A node that has not said a word for so long while it was asked is given up, in milliseconds. */
const NODE_TIMEOUT_MS = 1000;
/** How often it is looked who has which slots, in milliseconds, beside whenever a node says that one has moved. */
const SLOTS_INTERVAL_MS = 5000;

/**
 * A cluster whose commands are bounded as a whole, redirections included. ioredis' own `commandTimeout` would hold for what a node
 * is asked while it connects as well: a busy start would then take a cluster that is there for one that is away. There are no
 * samples from before the first command: a timeout is one as well, so that the time of later commands grows to the distance.
 */
export class BoundedCluster extends Cluster {
  readonly roundTrip = new RoundTrip();

  override sendCommand(...[command, ...rest]: Parameters<Cluster['sendCommand']>): unknown {
    if (this.status === 'ready') this.#bound(command);
    return super.sendCommand(command, ...rest);
  }

  #bound(command: Parameters<Cluster['sendCommand']>[0]): void {
    const { roundTrip } = this;
    const { timeoutMs } = roundTrip;
    bound(command, roundTrip, timeoutMs, systemClock, () => {
      roundTrip.observe(timeoutMs);
    });
  }
}

/** What ioredis' own client of a cluster asks its nodes by; no part of its interface. */
interface SlotsReader {
  getInfoFromNode(redis: Redis | undefined, onRead: (error?: Error) => void): void;
}

/** A cluster whose nodes may answer anything when they are asked who has which slots. */
function checkSlots(cluster: Cluster): void {
  const reader = cluster as unknown as SlotsReader;
  const read = reader.getInfoFromNode.bind(cluster);
  reader.getInfoFromNode = (redis, onRead) => {
    read(redis && withCheckedSlots(redis), onRead);
  };
}

/**
 * Connects to a cluster. What cannot be answered fails at once instead of being tried again (the delays are 0): while a master is
 * away, the keys in its slots are misses. A node that is lost is left to `MOVED`, and to the next look at the slots.
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
    // Node looks the name up when it connects; an address in its place would not be what the certificate is for.
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
 * ioredis connects to a node when it is first asked, and notices that a cluster is away when its last connection has ended.
 * With a connection to every node, replicas included, the first reads find their copies, and an idle gateway notices too.
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
