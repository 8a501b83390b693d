import { once } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { connectCluster } from '../../src/store/redis-cluster.ts';
import { BoundedRedis } from '../../src/store/bounded-redis.ts';
import { DelayingProxy } from '../support/delaying-proxy.ts';
import { connectTo, inMemory } from '../support/redis.ts';
import { atEnd, startRedis, temporaryFolder } from '../support/rig.ts';
import { until } from '../support/until.ts';

async function connected(roundTripMs: number, jitterMs = 0): Promise<BoundedRedis> {
  const server = await startRedis();
  const proxy = await DelayingProxy.start(server.port, { roundTripMs, jitterMs });
  atEnd(() => proxy.stop());
  const redis = new BoundedRedis(proxy.port, '127.0.0.1');
  atEnd(async () => redis.disconnect());
  await once(redis, 'ready');
  return redis;
}

describe('commands to a Redis', () => {
  it('at a distance of 100 ± 40 ms all succeed, from the first on', async () => {
    const redis = await connected(100, 40);
    for (let times = 0; times < 20; times++) await redis.set(`key:${times}`, times);
    expect(redis.roundTrip.timeoutMs).toBeLessThan(400);
  });

  it('succeed although the process was busy for longer than their timeout', async () => {
    const redis = await connected(2);
    await redis.ping();
    const answer = redis.ping();
    // Lets the command be written before the loop blocks.
    await new Promise(setImmediate);
    const end = performance.now() + 500;
    while (performance.now() < end);
    expect(await answer).toBe('PONG');
  });
});

/** A cluster of one node, at this distance. */
async function farCluster(roundTripMs: number) {
  const server = await startRedis((port) => [
    ...inMemory(port),
    ...['--cluster-enabled', 'yes', '--dir', temporaryFolder()],
  ]);
  const proxy = await DelayingProxy.start(server.port, { roundTripMs });
  atEnd(() => proxy.stop());
  const admin = connectTo({ port: server.port });
  atEnd(async () => admin.disconnect());
  await admin.config('SET', 'cluster-announce-ip', '127.0.0.1');
  await admin.config('SET', 'cluster-announce-port', proxy.port);
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await until('the cluster is up', async () => (await admin.cluster('INFO')).includes('cluster_state:ok'));
  const login = { username: '', password: '', tls: false };
  const cluster = connectCluster({
    kind: 'cluster',
    login,
    nodes: [{ host: '127.0.0.1', port: proxy.port }],
  });
  cluster.on('error', () => undefined);
  atEnd(async () => cluster.disconnect());
  await once(cluster, 'ready');
  return cluster;
}

describe('the commands of a cluster that is 150 ms away', () => {
  it('are answered after a few that were given up', async () => {
    const cluster = await farCluster(150);
    let givenUp = 0;
    await until('a command is answered', () =>
      cluster.set('key', 'value').then(
        () => true,
        () => ++givenUp < 0,
      ),
    );
    expect(givenUp).toBeLessThanOrEqual(5);
    for (let times = 0; times < 20; times++) await cluster.set(`key:${times}`, times);
  });
});
