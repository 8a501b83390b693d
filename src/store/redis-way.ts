import type { Cluster, Redis } from 'ioredis';

/** The client, whichever way it has connected. */
export type RedisClient = Redis | Cluster;

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Who the gateway is at Redis; empty texts are the default user and no password. */
export interface RedisLogin {
  readonly username: string;
  readonly password: string;
  readonly tls: boolean;
}

/** Where Redis is. The login of a URL may stand in the URL itself. */
export type RedisWay = { readonly login: RedisLogin } & (
  | { readonly kind: 'url'; readonly url: string }
  | {
      readonly kind: 'sentinel';
      readonly sentinels: readonly Address[];
      readonly masterName: string;
      readonly sentinelPassword: string;
    }
  | { readonly kind: 'cluster'; readonly nodes: readonly Address[] }
);
