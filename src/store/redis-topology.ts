import type { Cluster, Redis } from 'ioredis';

/** A client of any topology. */
export type RedisClient = Redis | Cluster;

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Credentials; empty strings mean the default user and no password. */
export interface RedisLogin {
  readonly username: string;
  readonly password: string;
  readonly tls: boolean;
}

/** How Redis is deployed, and where. */
export type RedisTopology = { readonly login: RedisLogin } & (
  | ({ readonly kind: 'server'; readonly database: number } & Address)
  | {
      readonly kind: 'sentinel';
      readonly sentinels: readonly Address[];
      readonly masterName: string;
      readonly sentinelPassword: string;
    }
  | { readonly kind: 'cluster'; readonly nodes: readonly Address[] }
);

/** The Redis settings, by their names. */
interface RedisSettings {
  readonly REDIS_URL: (Address & RedisLogin & { readonly database: number }) | undefined;
  readonly REDIS_SENTINELS: readonly Address[];
  readonly REDIS_SENTINEL_NAME: string;
  readonly REDIS_CLUSTER: readonly Address[];
  readonly REDIS_USERNAME: string;
  readonly REDIS_PASSWORD: string;
  readonly REDIS_SENTINEL_PASSWORD: string;
  readonly REDIS_TLS: 'yes' | 'no';
}

/** The configured topology, if any; the settings have been checked to contain only one. */
export function redisTopology(settings: RedisSettings): RedisTopology | undefined {
  const { REDIS_URL: server, REDIS_SENTINELS: sentinels, REDIS_CLUSTER: nodes } = settings;
  const login = {
    username: settings.REDIS_USERNAME,
    password: settings.REDIS_PASSWORD,
    tls: settings.REDIS_TLS === 'yes',
  };
  const sentinel = {
    masterName: settings.REDIS_SENTINEL_NAME,
    sentinelPassword: settings.REDIS_SENTINEL_PASSWORD,
  };
  if (server) {
    const { host, port, database, tls } = server;
    // The settings have been checked: only one of the two contains credentials.
    const { username, password } = server.username + server.password === '' ? login : server;
    return { kind: 'server', host, port, database, login: { username, password, tls } };
  }
  if (sentinels.length > 0) return { kind: 'sentinel', login, sentinels, ...sentinel };
  return nodes.length > 0 ? { kind: 'cluster', login, nodes } : undefined;
}
