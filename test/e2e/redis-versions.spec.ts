import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { cacheStatus } from '../support/cache-status.ts';
import type { Gateway } from '../support/gateway.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { jobIds, metric, readJob } from '../support/reads.ts';
import { inMemory, connectTo } from '../support/redis.ts';
import { asRedis62, RedisService } from '../support/redis-service.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** Path from test/setup/prepare.mjs on Debian 12; elsewhere it is on the PATH, if available. */
const FETCHED = join(import.meta.dirname, '../../node_modules/.cache/valkey/valkey-server');
const valkey = existsSync(FETCHED) ? FETCHED : 'valkey-server';
const hasValkey = spawnSync(valkey, ['--version']).status === 0;

interface Version {
  readonly name: string;
  readonly command: string;
  readonly reword?: typeof asRedis62;
  readonly isThere: boolean;
}

const VERSIONS: readonly Version[] = [
  { name: 'Redis as it is installed', command: 'redis-server', isThere: true },
  { name: 'the same with the words of Redis 6.2', command: 'redis-server', reword: asRedis62, isThere: true },
  { name: 'Valkey', command: valkey, isThere: hasValkey },
];

const budgetIs = (mode: string, gateway: Gateway) =>
  until(`the budget is ${mode}`, async () => (await metric(gateway, 'gateway_budget_mode', { mode })) === 1);

describe.each(VERSIONS)('with $name', ({ command, reword, isThere }) => {
  const test = isThere ? it : it.skip;

  test('replicas share copies and messages, and find the new master after a failover', async () => {
    const [first, second] = [await startRedis(inMemory, command), await startRedis(inMemory, command)];
    const service = await RedisService.start(first.port, reword);
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const env = { REDIS_URL: service.url };
    const [one, other] = [await startGateway({ upstream, env }), await startGateway({ upstream, env })];
    const [id] = jobIds(1) as [string];
    for (const gateway of [one, other]) {
      await untilRedisIs('up', gateway);
      await budgetIs('shared', gateway);
    }
    await readJob(one, id);
    expect(cacheStatus(await readJob(other, id))).toMatchObject({ hit: true, detail: 'token:redis' });

    const admin = connectTo({ port: first.port });
    atEnd(async () => admin.disconnect());
    await admin.replicaof('127.0.0.1', second.port);
    service.target = second.port;
    for (const gateway of [one, other]) {
      await gateway.logged((line) => line.msg?.startsWith('shared budget unavailable') === true);
      await budgetIs('shared', gateway);
      await untilRedisIs('up', gateway);
    }
    const looking = connectTo({ port: second.port });
    atEnd(async () => looking.disconnect());
    await until('a job that is read is stored at the new master', async () => {
      const [later] = jobIds(1) as [string];
      await readJob(one, later);
      return (await looking.keys(`*job:${later}`)).length === 1;
    });
  });
});
