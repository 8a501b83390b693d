import type { Redis } from 'ioredis';
import { freePort } from './ports.ts';
import type { RedisServer } from './redis.ts';
import { startRedis } from './rig.ts';
import { holds, SecuredRedis } from './secured-redis.ts';
import { until } from './until.ts';

const SLOTS = 16_384;
const MASTERS = 3;

/** A node, and the test's own connection to it. */
interface Node {
  readonly server: RedisServer;
  readonly admin: Redis;
}

/** Three masters, and a replica of the first that is soon promoted when its master is lost. */
export class RedisCluster {
  readonly secured = new SecuredRedis();
  readonly masters: Node[] = [];
  replica!: Node;

  static async start(): Promise<RedisCluster> {
    const cluster = new RedisCluster();
    await cluster.#start();
    return cluster;
  }

  /** Settings of a gateway. They contain two nodes; the others are discovered. */
  get env(): Record<string, string> {
    const [, second, third] = this.masters.map(({ server }) => server.port);
    const REDIS_CLUSTER = `localhost:${second},localhost:${third}`;
    return { REDIS_CLUSTER, REDIS_TLS: 'yes', ...this.secured.env };
  }

  get nodes(): Node[] {
    return [...this.masters, this.replica];
  }

  async #start(): Promise<void> {
    while (this.masters.length < MASTERS) this.masters.push(await this.#node());
    this.replica = await this.#node();
    for (const [index, { admin }] of this.masters.entries()) {
      const bound = (of: number): number => Math.floor((SLOTS * of) / MASTERS);
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', bound(index), bound(index + 1) - 1);
      // Distinct epochs save the time that nodes need to resolve a conflict.
      await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
    }
    await this.#meet();
    const [first] = this.masters;
    await this.replica.admin.call('CLUSTER', 'REPLICATE', await first!.admin.cluster('MYID'));
    await until('the replica replicates', async () =>
      /master_link_status:up/.test(await this.replica.admin.info('replication')),
    );
    await until('every node knows the replica', async () => {
      const seen = await Promise.all(this.nodes.map(({ admin }) => admin.cluster('SLOTS')));
      return seen.every((ranges) => ranges.some((range) => (range as unknown[]).length === 4));
    });
  }

  async #node(): Promise<Node> {
    const { host } = this.secured;
    const busPort = await freePort();
    const server = await startRedis((port) => [
      ...this.secured.server(port),
      ...['--cluster-enabled', 'yes', '--cluster-config-file', `nodes-${port}.conf`],
      ...['--cluster-port', String(busPort), '--cluster-node-timeout', '1000', '--tls-cluster', 'yes'],
      ...['--cluster-announce-hostname', host, '--cluster-preferred-endpoint-type', 'hostname'],
    ]);
    this.#busPorts.set(server, busPort);
    return { server, admin: this.secured.look(server) };
  }

  readonly #busPorts = new Map<RedisServer, number>();

  async #meet(): Promise<void> {
    const [{ admin }, ...others] = this.nodes as [Node, ...Node[]];
    for (const { server } of others) {
      await admin.call('CLUSTER', 'MEET', '127.0.0.1', server.port, this.#busPorts.get(server)!);
    }
    await until('all nodes agree', async () => {
      const infos = await Promise.all(this.nodes.map(({ admin }) => admin.cluster('INFO')));
      return infos.every((info) => info.includes('cluster_state:ok') && info.includes('known_nodes:4'));
    });
  }
}

/** Whether a node holds a copy of a job. */
export async function clusterHolds(nodes: readonly Node[], jobId: string): Promise<boolean> {
  const held = await Promise.all(nodes.map(({ admin }) => holds(admin, jobId)));
  return held.includes(true);
}
