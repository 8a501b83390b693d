import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { Collector } from '../support/collector.ts';
import { testCaller } from '../support/gateway.ts';
import { Issuer } from '../support/issuer.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { until } from '../support/until.ts';
import { Watcher } from '../support/watcher.ts';
import { converse } from '../support/wire.ts';

/**
 * Promises with a time in them, held to within what a quiet machine takes. That they are kept at all, however busy the
 * machine is, test/e2e and the unit tests show.
 */
const took = async (what: () => Promise<unknown>): Promise<number> => {
  const since = performance.now();
  await what();
  return performance.now() - since;
};

describe('on time', () => {
  it('a stale copy is served after REFRESH_WAIT, and at once when its refresh is expected to take longer', async () => {
    const upstream = await startUpstream();
    const env = { ACTIVE_FRESH: '200ms', REFRESH_WAIT: '500ms', PATIENCE: '30s' };
    const gateway = await startGateway({ upstream, env });
    const { id } = upstream.addJob({ state: 'active' });
    await readJob(gateway, id);
    await took(() => new Promise((resolve) => setTimeout(resolve, 250)));
    upstream.fault({ kind: 'hold' });
    expect((await readJob(gateway, id)).tookMs).toBeLessThan(900);
    upstream.clearFaults();
    await until('it is new again', async () =>
      readJob(gateway, id).then(({ headers }) => headers['age'] === '0'),
    );
    await took(() => new Promise((resolve) => setTimeout(resolve, 250)));
    upstream.fault({ kind: 'too-many', retryAfter: '1200' });
    await readJob(gateway, id);
    for (let polls = 0; polls < 5; polls++) expect((await readJob(gateway, id)).tookMs).toBeLessThan(250);
  });

  it('a change is visible shortly after ACTIVE_FRESH', async () => {
    const upstream = await startUpstream();
    const gateway = await startGateway({ upstream, env: { ACTIVE_FRESH: '1s' } });
    const { id } = upstream.addJob({ state: 'active' });
    const ms = await took(async () => {
      await readJob(gateway, id);
      upstream.setState(id, 'success');
      const isSeen = async () => (await readJob(gateway, id)).body.equals(upstream.bodyOf(id));
      await until('the change is seen', isSeen);
    });
    expect(ms).toBeLessThan(1700);
  });

  it('a read is refused shortly after its patience, and at once when the forecast exceeds it', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const env = { UPSTREAM_CONCURRENCY: '1', UPSTREAM_LIMITS: '4/10s', PATIENCE: '500ms' };
    const gateway = await startGateway({ upstream, env });
    upstream.fault({ kind: 'slow', ms: 2000 }, { times: 1 });
    const [slow = '', late = '', next = '', refused = ''] = jobIds(4);
    const under = readJob(gateway, slow);
    await upstream.arrived(1);
    expect((await readJob(gateway, late)).tookMs).toBeLessThan(1500);
    await under;
    await readJob(gateway, next);
    expect((await readJob(gateway, refused)).tookMs).toBeLessThan(500);
  });

  it('another replica takes over from a dead one within its lease', async () => {
    const [upstream, redis] = [await startUpstream({ unknownJobs: 'make' }), await startRedis()];
    const env = { REDIS_URL: redis.url };
    const [one, other] = [await startGateway({ upstream, env }), await startGateway({ upstream, env })];
    await Promise.all([one, other].map((gateway) => untilRedisIs('up', gateway)));
    upstream.fault({ kind: 'hang' }, { times: 1 });
    const [id = ''] = jobIds(1);
    const first = readJob(one, id);
    await upstream.arrived(1);
    const second = readJob(other, id);
    one.signal('SIGKILL');
    await expect(first).rejects.toThrow();
    expect((await second).tookMs).toBeLessThan(3500);
  });

  it('a hanging Redis delays a read by its timeouts, and the end not at all', async () => {
    const [upstream, redis] = [await startUpstream({ unknownJobs: 'make' }), await startRedis()];
    const gateway = await startGateway({ upstream, env: { REDIS_URL: redis.url } });
    await untilRedisIs('up', gateway);
    redis.signal('SIGSTOP');
    for (const id of jobIds(10)) expect((await readJob(gateway, id)).tookMs).toBeLessThan(800);
    expect(await took(() => gateway.stop())).toBeLessThan(1500);
  });

  it('a hanging cluster node is disconnected: reads no longer wait for it', async () => {
    const [upstream, cluster] = [await startUpstream(), await RedisCluster.start()];
    const gateway = await startGateway({ upstream, env: cluster.env });
    await untilRedisIs('up', gateway);
    cluster.masters[1]!.server.signal('SIGSTOP');
    // One timeout would be 100 ms, and a third of the jobs are that node's.
    await until('twenty in a row wait for nothing', async () => {
      for (let read = 0; read < 20; read++) {
        if ((await readJob(gateway, upstream.addJob().id)).tookMs >= 90) return false;
      }
      return true;
    });
    expect(gateway.log.filter(({ msg }) => /Redis connection/.test(msg ?? ''))).toEqual([]);
  });

  it('a hanging cluster does not delay the end', async () => {
    const [upstream, cluster] = [await startUpstream(), await RedisCluster.start()];
    const gateway = await startGateway({ upstream, env: cluster.env });
    await untilRedisIs('up', gateway);
    for (const { server } of cluster.nodes) server.signal('SIGSTOP');
    expect((await readJob(gateway, upstream.addJob().id)).tookMs).toBeLessThan(800);
    expect(await took(() => gateway.stop())).toBeLessThan(1500);
  });

  it('a hanging collector delays the end by a second', async () => {
    const [upstream, collector] = [await startUpstream({ unknownJobs: 'make' }), await Collector.start()];
    collector.behaviour = 'hangs';
    const gateway = await startGateway({ upstream, env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } });
    await Promise.all(jobIds(100).map((id) => readJob(gateway, id)));
    expect(await took(() => gateway.stop())).toBeLessThan(3000);
  });

  it('streams end when their token expires, and with the drain', async () => {
    const [upstream, issuer] = [await startUpstream(), await Issuer.start([{ id: 'named' }])];
    atEnd(() => issuer.stop());
    const gateway = await startGateway({
      upstream,
      env: { ...issuer.env, JWT_ITWINS_CLAIM: 'itwins', DRAIN_DELAY: '500ms' },
    });
    const { id } = upstream.addJob({ state: 'active' });
    // Five seconds of leeway are given at the end.
    const endsAt = (Math.floor(Date.now() / 1000) + 2) * 1000;
    const key = await issuer.sign({ client_id: 'named', itwins: '*', exp: endsAt / 1000 - 5 });
    const ending = await Watcher.open(gateway, id, { caller: { ...testCaller('token'), key } });
    const lasting = await Watcher.open(gateway, id, {
      caller: { ...testCaller('token'), key: await issuer.sign({ itwins: '*', jti: randomUUID() }) },
    });
    await ending.closed();
    expect(Date.now() - endsAt).toBeLessThan(1500);
    const ms = await took(async () => {
      gateway.signal('SIGTERM');
      expect(await gateway.exited).toBe(0);
    });
    expect(ms).toBeLessThan(500 + 1000 + 1500);
    await lasting.closed();
  });

  it('an incomplete request head gets 408 after ten seconds', async () => {
    const gateway = await startGateway({ upstream: await startUpstream() });
    const { tookMs } = await converse(gateway.url, 'GET');
    expect(tookMs).toBeLessThan(13_000);
  });
});
