import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { DelayingProxy } from './delaying-proxy.ts';
import { connectTo, type RedisServer } from './redis.ts';
import { atEnd, startRedis } from './rig.ts';

/** A Redis with a replica behind a proxy that leads to the current master, like a Kubernetes service. */
export class ReplicatedStore {
  readonly #proxy: DelayingProxy;
  readonly #clients: readonly Redis[];
  readonly #servers: readonly RedisServer[];
  #master = 0;

  private constructor(proxy: DelayingProxy, servers: readonly RedisServer[]) {
    this.#proxy = proxy;
    this.#servers = servers;
    this.#clients = servers.map(({ port }) => connectTo({ port }));
    atEnd(async () => {
      for (const client of this.#clients) client.disconnect();
    });
  }

  static async start(): Promise<ReplicatedStore> {
    const servers = [await startRedis(), await startRedis()] as const;
    const proxy = await DelayingProxy.start(servers[0].port, { roundTripMs: 0 });
    atEnd(() => proxy.stop());
    const store = new ReplicatedStore(proxy, servers);
    await store.#clients[1]!.replicaof('127.0.0.1', servers[0].port);
    return store;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#proxy.port}`;
  }

  get redis(): RedisServer {
    return this.#servers[this.#master]!;
  }

  get client(): Redis {
    return this.#clients[this.#master]!;
  }

  setDistance(roundTripMs: number, jitterMs = 0): void {
    this.#proxy.order({ roundTripMs, jitterMs });
  }

  /** Swaps master and replica. */
  async failOver(): Promise<void> {
    const old = this.client;
    this.#master = 1 - this.#master;
    await this.client.replicaof('NO', 'ONE');
    await old.replicaof('127.0.0.1', this.redis.port);
    this.#proxy.order({ target: this.redis.port });
  }
}

/** A temporary fault of the store. */
export interface StoreTrouble {
  readonly name: string;
  begin(store: ReplicatedStore, random: () => number): unknown;
  end(store: ReplicatedStore): unknown;
}

const CHANGES_OF_DISTANCE = 5;
const LONGEST_ROUND_TRIP_MS = 150;

export const STORE_TROUBLES: readonly StoreTrouble[] = [
  {
    name: 'distance',
    begin: async (store, random) => {
      for (let change = 0; change < CHANGES_OF_DISTANCE; change++) {
        const roundTripMs = random() * LONGEST_ROUND_TRIP_MS;
        store.setDistance(roundTripMs, Math.min(roundTripMs, LONGEST_ROUND_TRIP_MS - roundTripMs, 40));
        await delay(1000);
      }
    },
    end: (store) => store.setDistance(0),
  },
  {
    name: 'pub/sub cut',
    begin: async ({ client }) => {
      for (let cut = 0; cut < 5; cut++) {
        await client.client('KILL', 'TYPE', 'PUBSUB');
        await delay(300);
      }
    },
    end: () => undefined,
  },
  {
    name: 'channels forbidden',
    begin: ({ client }) => client.call('ACL', 'SETUSER', 'default', 'resetchannels'),
    end: ({ client }) => client.call('ACL', 'SETUSER', 'default', 'allchannels'),
  },
  { name: 'failover', begin: (store) => store.failOver(), end: () => undefined },
  { name: 'garbage', begin: ({ client }, random) => corrupt(client, random), end: () => undefined },
];

/** Overwrites a quarter of the keys with invalid values. They keep their expiry, except half of the leases. */
async function corrupt(client: Redis, random: () => number): Promise<void> {
  for (const key of await client.keys('*')) {
    if (random() < 0.75) continue;
    if (key.includes(':lease:')) await client.set(key, `somebody ${Date.now()} sent`, 'PX', 600_000);
    else if (key.includes(':job:')) await client.set(key, 'garbage', 'KEEPTTL');
    else if (key.endsWith(':state')) await client.hset(key, GARBAGE_STATES[Math.floor(random() * 4)]!);
    else if (key.endsWith(':replicas')) await client.hset(key, 'somebody', 'garbage');
    if (key.includes(':lease:') && random() < 0.5) await client.persist(key);
  }
}

const GARBAGE_STATES = [
  { advancedTo: 'garbage' },
  { advancedTo: 'nan' },
  { advancedTo: String(2 ** 52) },
  { version: 'somebody 1' },
];
