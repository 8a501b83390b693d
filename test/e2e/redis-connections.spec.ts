import { describe, expect, it } from '@jest/globals';
import { cacheStatus } from '../support/cache-status.ts';
import type { Gateway } from '../support/gateway.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { readJob } from '../support/reads.ts';
import { clusterHolds, RedisCluster } from '../support/redis-cluster.ts';
import { SentinelSet } from '../support/redis-sentinel.ts';
import { startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { GATEWAY_LOGIN, holds, SecuredRedis } from '../support/secured-redis.ts';
import { until } from '../support/until.ts';

/** A Redis like in production: its settings, and whether it holds a copy of a job. */
interface Started {
  readonly env: Readonly<Record<string, string>>;
  holds(jobId: string): Promise<boolean>;
}

/** The credentials are in the URL, where characters may need escaping. */
async function oneServer(): Promise<Started> {
  const secured = new SecuredRedis();
  const server = await startRedis((port) => secured.server(port));
  const admin = secured.look(server);
  const { NODE_EXTRA_CA_CERTS } = secured.env;
  const login = `${GATEWAY_LOGIN.REDIS_USERNAME}:${GATEWAY_LOGIN.REDIS_PASSWORD.replace('-', '%2D')}`;
  return {
    env: { REDIS_URL: `rediss://${login}@localhost:${server.port}`, NODE_EXTRA_CA_CERTS },
    holds: (jobId) => holds(admin, jobId),
  };
}

async function oneServerAndPassword(): Promise<Started> {
  const secured = new SecuredRedis();
  const server = await startRedis((port) => secured.server(port));
  const admin = secured.look(server);
  return {
    env: { REDIS_URL: `rediss://localhost:${server.port}`, ...secured.env },
    holds: (jobId) => holds(admin, jobId),
  };
}

async function sentinel(): Promise<Started> {
  const set = await SentinelSet.start();
  const admin = set.secured.look(set.master);
  return { env: set.env, holds: (jobId) => holds(admin, jobId) };
}

async function cluster(): Promise<Started> {
  const { env, nodes } = await RedisCluster.start();
  return { env, holds: (jobId) => clusterHolds(nodes, jobId) };
}

const WRONG = 'not-the-password';
const gone = /Redis connection lost/;

describe.each([
  ['one server, with the login in its URL', oneServer, 'REDIS_URL'],
  ['one server, with the login beside its URL', oneServerAndPassword, 'REDIS_PASSWORD'],
  ['Sentinel', sentinel, 'REDIS_SENTINEL_PASSWORD'],
  ['a cluster', cluster, 'REDIS_PASSWORD'],
] as const)('over TLS and as a user with minimal permissions, at %s', (_, start, secret) => {
  it('a finished job is served by another gateway without an upstream call', async () => {
    const [upstream, redis] = [await startUpstream(), await start()];
    const one = await startGateway({ upstream, env: redis.env });
    await untilRedisIs('up', one);
    const ids: string[] = [];
    // Several jobs, because a slow reply on a busy machine is a miss.
    await until('a dozen are stored', async () => {
      const { id } = upstream.addJob();
      await readJob(one, id);
      if (await redis.holds(id)) ids.push(id);
      return ids.length === 12;
    });
    const count = upstream.count;
    const other = await startGateway({ upstream, env: redis.env });
    await untilRedisIs('up', other);
    const seen = await Promise.all(ids.map((id) => readJob(other, id)));
    const shared = seen.filter((answer) => cacheStatus(answer)['detail'] === 'token:redis').length;
    expect(shared).toBeGreaterThanOrEqual(6);
    expect(upstream.count).toBe(count + ids.length - shared);
    for (const { log, output } of [one, other]) {
      expect(log.filter(({ msg, reason }) => gone.test(msg ?? '') && reason !== 'timeout')).toEqual([]);
      expect(output).not.toMatch(/ioredis|\bWARN/);
    }
    expect(await one.stop()).toBe(0);
  });

  it('reads succeed with a wrong password, which is logged once, without the password', async () => {
    const [upstream, redis] = [await startUpstream(), await start()];
    const given = redis.env[secret] ?? '';
    const wrong = secret === 'REDIS_URL' ? given.replace(/:[^:@]+@/, `:${WRONG}@`) : WRONG;
    let gateway!: Gateway;
    await until('the refusal came in time', async () => {
      gateway = await startGateway({ upstream, env: { ...redis.env, [secret]: wrong } });
      await untilRedisIs('degraded', gateway);
      const { level, reason } = await gateway.logged(({ msg }) => gone.test(msg ?? ''));
      expect([level, reason === 'timeout' || reason === 'WRONGPASS']).toEqual([40, true]);
      return reason === 'WRONGPASS';
    });
    const { id } = upstream.addJob();
    expect((await readJob(gateway, id)).status).toBe(200);
    const since = performance.now();
    await until('it has been tried several times', () => performance.now() > since + 1000);
    expect(gateway.log.filter(({ msg }) => /Redis connection/.test(msg ?? ''))).toHaveLength(1);
    expect(gateway.output).not.toContain(WRONG);
    expect(await redis.holds(id)).toBe(false);
  });
});
