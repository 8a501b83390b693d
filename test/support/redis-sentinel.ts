import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { RedisServer } from './redis.ts';
import { startRedis } from './rig.ts';
import { SecuredRedis } from './secured-redis.ts';
import { until } from './until.ts';

const NAME = 'jobs';
const SENTINEL_PASSWORD = 'password-of-the-sentinels';

/** A master, its replica, and three sentinels that soon promote the replica when the master is lost. */
export class SentinelSet {
  /** Sentinels announce addresses, not names. */
  readonly secured = new SecuredRedis('127.0.0.1');
  readonly sentinels: RedisServer[] = [];
  master!: RedisServer;
  replica!: RedisServer;

  static async start(): Promise<SentinelSet> {
    const set = new SentinelSet();
    await set.#start();
    return set;
  }

  /** Settings of a gateway. */
  get env(): Record<string, string> {
    return {
      REDIS_SENTINELS: this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(','),
      REDIS_SENTINEL_NAME: NAME,
      REDIS_SENTINEL_PASSWORD: SENTINEL_PASSWORD,
      REDIS_TLS: 'yes',
      ...this.secured.env,
    };
  }

  async #start(): Promise<void> {
    const { secured } = this;
    this.master = await startRedis((port) => secured.server(port));
    const of = ['--replicaof', '127.0.0.1', String(this.master.port)];
    this.replica = await startRedis((port) => [...secured.server(port), ...of]);
    const admin = secured.look(this.replica);
    await until('it replicates', async () => /master_link_status:up/.test(await admin.info('replication')));
    while (this.sentinels.length < 3) this.sentinels.push(await startRedis((port) => this.#sentinel(port)));
    for (const sentinel of this.sentinels) {
      await untilDiscovered(secured.look(sentinel, SENTINEL_PASSWORD));
    }
  }

  /** Each sentinel needs its own configuration file, which it changes. */
  #sentinel(port: number): string[] {
    const path = join(this.secured.folder, `sentinel-${port}.conf`);
    const lines = [
      `sentinel monitor ${NAME} 127.0.0.1 ${this.master.port} 2`,
      `sentinel auth-pass ${NAME} ${this.secured.adminPassword}`,
      `sentinel down-after-milliseconds ${NAME} 500`,
      `sentinel failover-timeout ${NAME} 1000`,
      `sentinel sentinel-pass ${SENTINEL_PASSWORD}`,
      `requirepass ${SENTINEL_PASSWORD}`,
    ];
    writeFileSync(path, lines.join('\n'));
    return [
      path,
      '--sentinel',
      '--bind',
      '127.0.0.1',
      ...this.secured.tls(port),
      '--dir',
      this.secured.folder,
    ];
  }
}

/** Waits until a sentinel knows the replica and the two other sentinels. */
async function untilDiscovered(sentinel: Redis): Promise<void> {
  await until(
    'the sentinel sees the others',
    async () => {
      const [seen = []] = (await sentinel.call('SENTINEL', 'MASTERS')) as string[][];
      const field = (name: string): string | undefined => seen[seen.indexOf(name) + 1];
      return (
        field('num-slaves') === '1' && field('num-other-sentinels') === '2' && field('flags') === 'master'
      );
    },
    15_000,
  );
}
