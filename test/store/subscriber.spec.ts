import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { describe, expect, it } from '@jest/globals';
import { connectRedis } from '../../src/store/redis.ts';
import type { RedisClient, RedisLogin, RedisTopology } from '../../src/store/redis-topology.ts';
import { subscribe } from '../../src/store/subscriber.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import type { RedisServer } from '../support/redis.ts';
import { SentinelSet } from '../support/redis-sentinel.ts';
import { lookAt } from '../support/redis.ts';
import { atEnd, startRedis } from '../support/rig.ts';
import { GATEWAY_LOGIN, type SecuredRedis } from '../support/secured-redis.ts';
import { until } from '../support/until.ts';

const CHANNEL = 'itwin-jobs:a-channel';
const noLogin = { username: '', password: '', tls: false };
const at = ({ port }: RedisServer): RedisTopology => ({
  kind: 'server',
  host: '127.0.0.1',
  port,
  database: 0,
  login: noLogin,
});

function loginAt(secured: SecuredRedis): RedisLogin {
  const before = getCACertificates('default');
  setDefaultCACertificates([...before, readFileSync(secured.env.NODE_EXTRA_CA_CERTS, 'utf8')]);
  atEnd(async () => setDefaultCACertificates(before));
  return { username: GATEWAY_LOGIN.REDIS_USERNAME, password: GATEWAY_LOGIN.REDIS_PASSWORD, tls: true };
}

/** A client, and all that has been heard at the channel. */
function listen(way: RedisTopology): { redis: RedisClient; heard: string[]; end: () => void } {
  const redis = connectRedis(way, { warn: () => undefined, info: () => undefined });
  const heard: string[] = [];
  const notifications = subscribe(redis, {
    channel: CHANNEL,
    onMessage: (message) => heard.push(message),
    onConfirmed: () => undefined,
    onLost: () => undefined,
  });
  atEnd(async () => {
    notifications.end();
    redis.disconnect();
  });
  return { redis, heard, end: () => notifications.end() };
}

let messages = 0;

/** Sooner or later a message comes through, and it comes once. */
async function untilHeard({ redis, heard }: { redis: RedisClient; heard: string[] }): Promise<void> {
  const sent: string[] = [];
  const comes = async (): Promise<boolean> => {
    const message = `message ${++messages}`;
    await redis.publish(CHANNEL, message).then(
      () => sent.push(message),
      () => undefined,
    );
    return sent.some((one) => heard.includes(one));
  };
  await until('a message is heard', comes);
  expect(new Set(heard).size).toBe(heard.length);
}

const isHeardFor = (way: RedisTopology) => untilHeard(listen(way));

describe('notifications', () => {
  it('are heard from one server, again after it has been lost, and no more after the end', async () => {
    const server = await startRedis();
    const one = listen(at(server));
    await untilHeard(one);
    for (const _ of [1, 2]) {
      await server.kill();
      await until('it is away', () => one.redis.status !== 'ready');
      await server.start();
      await untilHeard(one);
    }
    const other = listen(at(server));
    await untilHeard(other);
    one.end();
    one.heard.length = 0;
    await untilHeard(other);
    expect(one.heard).toEqual([]);
  });

  it('are heard from as soon as a server is there that was not', async () => {
    const server = await startRedis();
    await server.kill();
    const one = listen(at(server));
    await server.start();
    await untilHeard(one);
  });

  it('are heard again although only their connection was lost', async () => {
    const server = await startRedis();
    const one = listen(at(server));
    await untilHeard(one);
    await one.redis.client('KILL', 'TYPE', 'PUBSUB');
    await untilHeard(one);
  });

  it('are heard once they are allowed that were not', async () => {
    const server = await startRedis();
    const admin = lookAt({ port: server.port });
    atEnd(async () => admin.disconnect());
    await admin.acl('SETUSER', 'default', 'resetchannels');
    const one = listen(at(server));
    await until('it has been refused', async () => JSON.stringify(await admin.acl('LOG')).includes(CHANNEL));
    await admin.acl('SETUSER', 'default', 'allchannels');
    await untilHeard(one);
  });

  it('are heard through Sentinel, and from the new master after the first is lost', async () => {
    const set = await SentinelSet.start();
    const sentinels = set.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
    const login = loginAt(set.secured);
    const sentinelPassword = set.env['REDIS_SENTINEL_PASSWORD']!;
    const one = listen({ kind: 'sentinel', sentinels, masterName: 'jobs', sentinelPassword, login });
    await untilHeard(one);
    await set.master.kill();
    await untilHeard(one);
  });

  it('are heard in a cluster, and again whichever node is lost', async () => {
    // For the end of connections to nodes that are gone ioredis waits two seconds.
    atEnd(() => delay(2000));
    const cluster = await RedisCluster.start();
    const login = loginAt(cluster.secured);
    const nodes = cluster.masters.map(({ server }) => ({ host: 'localhost', port: server.port }));
    const one = listen({ kind: 'cluster', nodes, login });
    await untilHeard(one);
    for (const { server } of cluster.nodes) {
      await server.kill();
      await server.start();
      await untilHeard(one);
    }
    await isHeardFor({ kind: 'cluster', nodes, login });
    await Promise.all(cluster.nodes.map(({ server }) => server.kill()));
    await until('it is away', () => one.redis.status !== 'ready');
    await Promise.all(cluster.nodes.map(({ server }) => server.start()));
    await untilHeard(one);
  });
});
