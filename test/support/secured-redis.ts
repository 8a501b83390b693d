import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { makeCertificates, type Certificates } from './certificates.ts';
import { inMemory, connectTo, type RedisServer } from './redis.ts';
import { atEnd, temporaryFolder } from './rig.ts';

/** Password of the default user, which servers and tests use, with all permissions. */
const ADMIN_PASSWORD = 'password-of-the-admin';
export const GATEWAY_LOGIN = { REDIS_USERNAME: 'gateway', REDIS_PASSWORD: 'password-of-the-gateway' };
/** Permissions that the gateway needs (docs/SETTINGS.md). */
const GATEWAY_RIGHTS =
  '~itwin-jobs:* &itwin-jobs:* +@read +@write +@scripting +@connection +@pubsub -@dangerous +info +time +cluster|slots +cluster|info';

/** Common configuration of a test's servers: TLS only, passwords, and a folder for files. */
export class SecuredRedis {
  readonly folder = temporaryFolder();
  readonly adminPassword = ADMIN_PASSWORD;
  readonly host: string;
  /** Settings of a gateway besides the topology. */
  readonly env: typeof GATEWAY_LOGIN & { readonly NODE_EXTRA_CA_CERTS: string };
  readonly #certificates: Certificates;

  /** @param host host name of the servers and their certificate */
  constructor(host: 'localhost' | '127.0.0.1' = 'localhost') {
    this.host = host;
    const name = host === 'localhost' ? `DNS:${host}` : `IP:${host}`;
    this.#certificates = makeCertificates(this.folder, name);
    this.env = { ...GATEWAY_LOGIN, NODE_EXTRA_CA_CERTS: this.#certificates.authority };
  }

  /** Arguments for TLS instead of plain TCP, also between servers. */
  tls(port: number): string[] {
    const { authority, keyPath, certPath } = this.#certificates;
    const files = ['--tls-ca-cert-file', authority, '--tls-key-file', keyPath, '--tls-cert-file', certPath];
    const outwards = ['--tls-replication', 'yes', '--tls-auth-clients', 'no'];
    return ['--port', '0', '--tls-port', String(port), ...files, ...outwards];
  }

  /** Arguments of a data server. */
  server(port: number): string[] {
    const passwords = ['--requirepass', ADMIN_PASSWORD, '--masterauth', ADMIN_PASSWORD];
    const { REDIS_USERNAME, REDIS_PASSWORD } = GATEWAY_LOGIN;
    const user = [REDIS_USERNAME, 'on', `>${REDIS_PASSWORD}`, ...GATEWAY_RIGHTS.split(' ')];
    // Replication starts at once instead of after some seconds.
    const soon = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];
    const kept = ['--dir', this.folder, ...soon];
    return [...inMemory(port), ...this.tls(port), ...passwords, ...kept, '--user', ...user];
  }

  /** A connection of the test, with all permissions. */
  look({ port }: RedisServer, password = ADMIN_PASSWORD): Redis {
    const tls = { ca: readFileSync(this.#certificates.authority) };
    const redis = connectTo({ port, host: this.host, password, tls });
    atEnd(async () => redis.disconnect());
    return redis;
  }
}

/** Whether a server holds a copy of a job. */
export async function holds(admin: Redis, jobId: string): Promise<boolean> {
  return (await admin.keys(`itwin-jobs:*${jobId}`)).length === 1;
}
