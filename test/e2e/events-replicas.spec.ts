import { describe, expect, it } from '@jest/globals';
import { readJob } from '../support/reads.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { Watcher } from '../support/watcher.ts';

describe('streams of one replica', () => {
  it('report at once what another replica has read, without a poll', async () => {
    const [upstream, redis] = [await startUpstream(), await startRedis()];
    const env = { REDIS_URL: redis.url, ACTIVE_FRESH: '1m' };
    const one = await startGateway({ upstream, env });
    const other = await startGateway({ upstream, env, callers: one.callers });
    await Promise.all([one, other].map((gateway) => untilRedisIs('up', gateway)));
    const { id } = upstream.addJob({ state: 'active' });
    const watcher = await Watcher.open(other, id);
    expect(await watcher.state(1)).toBe('active');
    for (const [index, state] of ['almost', 'success'].entries()) {
      upstream.setState(id, state);
      await readJob(one, id, { headers: { 'cache-control': 'no-cache' } });
      expect(await watcher.state(index + 2)).toBe(state);
    }
    await watcher.closed();
    expect(watcher.events.map(({ event }) => event)).toEqual(['job', 'job', 'job', 'end']);
    expect(upstream.count).toBe(3);
  });
});
