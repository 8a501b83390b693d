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
import { connectTo } from '../support/redis.ts';
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

/** A client and the messages that its subscriber has received. */
function listen(topology: RedisTopology): { redis: RedisClient; received: string[]; end: () => void } {
  const redis = connectRedis(topology, { warn: () => undefined, info: () => undefined });
  const received: string[] = [];
  const subscriber = subscribe(redis, {
    channel: CHANNEL,
    onMessage: (message) => received.push(message),
    onConfirmed: () => undefined,
    onLost: () => undefined,
  });
  atEnd(async () => {
    subscriber.end();
    redis.disconnect();
  });
  return { redis, received, end: () => subscriber.end() };
}

let messages = 0;

/** Publishes until a message is received, and checks that none is received twice. */
async function untilReceived({ redis, received }: ReturnType<typeof listen>): Promise<void> {
  const sent: string[] = [];
  const arrives = async (): Promise<boolean> => {
    const message = `message ${++messages}`;
    await redis.publish(CHANNEL, message).then(
      () => sent.push(message),
      () => undefined,
    );
    return sent.some((one) => received.includes(one));
  };
  await until('a message is received', arrives);
  expect(new Set(received).size).toBe(received.length);
}

const expectDelivery = (topology: RedisTopology) => untilReceived(listen(topology));

describe('messages', () => {
  it('arrive from one server, again after a restart, and not after the end', async () => {
    const server = await startRedis();
    const one = listen(at(server));
    await untilReceived(one);
    for (const _ of [1, 2]) {
      await server.kill();
      await until('it is disconnected', () => one.redis.status !== 'ready');
      await server.start();
      await untilReceived(one);
    }
    const other = listen(at(server));
    await untilReceived(other);
    one.end();
    one.received.length = 0;
    await untilReceived(other);
    expect(one.received).toEqual([]);
  });

  it('arrive as soon as an absent server starts', async () => {
    const server = await startRedis();
    await server.kill();
    const one = listen(at(server));
    await server.start();
    await untilReceived(one);
  });

  it('arrive again after their connection alone was lost', async () => {
    const server = await startRedis();
    const one = listen(at(server));
    await untilReceived(one);
    await one.redis.client('KILL', 'TYPE', 'PUBSUB');
    await untilReceived(one);
  });

  it('arrive once the channel is permitted', async () => {
    const server = await startRedis();
    const admin = connectTo({ port: server.port });
    atEnd(async () => admin.disconnect());
    await admin.acl('SETUSER', 'default', 'resetchannels');
    const one = listen(at(server));
    await until('SUBSCRIBE was refused', async () =>
      JSON.stringify(await admin.acl('LOG')).includes(CHANNEL),
    );
    await admin.acl('SETUSER', 'default', 'allchannels');
    await untilReceived(one);
  });

  it('arrive through Sentinel, and from the new master after a failover', async () => {
    const set = await SentinelSet.start();
    const sentinels = set.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
    const login = loginAt(set.secured);
    const sentinelPassword = set.env['REDIS_SENTINEL_PASSWORD']!;
    const one = listen({ kind: 'sentinel', sentinels, masterName: 'jobs', sentinelPassword, login });
    await untilReceived(one);
    await set.master.kill();
    await untilReceived(one);
  });

  it('arrive in a cluster, and again whichever node restarts', async () => {
    // ioredis waits two seconds for the end of connections to lost nodes.
    atEnd(() => delay(2000));
    const cluster = await RedisCluster.start();
    const login = loginAt(cluster.secured);
    const nodes = cluster.masters.map(({ server }) => ({ host: 'localhost', port: server.port }));
    const one = listen({ kind: 'cluster', nodes, login });
    await untilReceived(one);
    for (const { server } of cluster.nodes) {
      await server.kill();
      await server.start();
      await untilReceived(one);
    }
    await expectDelivery({ kind: 'cluster', nodes, login });
    await Promise.all(cluster.nodes.map(({ server }) => server.kill()));
    await until('it is disconnected', () => one.redis.status !== 'ready');
    await Promise.all(cluster.nodes.map(({ server }) => server.start()));
    await untilReceived(one);
  });
});
