import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { parseList } from 'structured-headers';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { cacheStatus } from '../support/cache-status.ts';
import type { Gateway } from '../support/gateway.ts';
import { metric, readJob } from '../support/reads.ts';
import { shareRig } from '../support/shared-rig.ts';
import {
  AT_ONCE_MS,
  expectStale,
  rig,
  SOON_STALE,
  staleCopy,
  states,
  withStaleCopy,
} from '../support/stale-copy.ts';
import { until } from '../support/until.ts';

describe('a stale copy', () => {
  const shared = shareRig({}, () => ({ env: SOON_STALE }));

  it("is refreshed: a read returns upstream's current answer", async () => {
    const { upstream, gateway, id } = await withStaleCopy();
    upstream.setState(id, 'success');
    const seen = await readJob(gateway, id);
    expect(states(seen)).toBe('success');
    expect(cacheStatus(seen)).toMatchObject({ fwd: 'token:stale' });
    expect(upstream.count).toBe(1);
  });

  it('is served when its refresh takes longer than REFRESH_WAIT, while that continues', async () => {
    const { upstream, gateway, id } = await withStaleCopy({ REFRESH_WAIT: '500ms' });
    upstream.fault({ kind: 'hold' });
    upstream.setState(id, 'success');
    const first = readJob(gateway, id);
    await upstream.arrived(1);
    expectStale(await first, 'stale');
    const seen = await Promise.all([readJob(gateway, id), readJob(gateway, id), readJob(gateway, id)]);
    for (const one of seen) {
      expectStale(one, 'stale');
      expect(cacheStatus(one)).toMatchObject({ fwd: 'token:stale' });
      expect(one.tookMs).toBeGreaterThanOrEqual(490);
    }
    upstream.clearFaults();
    await until('the refresh has come', async () => states(await readJob(gateway, id)) === 'success');
    expect(upstream.count).toBe(1);
  });

  it('is served at once when the refresh is expected to take longer', async () => {
    const { upstream, gateway, id } = await withStaleCopy();
    upstream.fault({ kind: 'too-many', retryAfter: '1200' }, { times: 1 });
    expectStale(await readJob(gateway, id), 'stale-if-error');
    for (let polls = 0; polls < 5; polls++) {
      const seen = await readJob(gateway, id);
      expectStale(seen, 'stale');
      expect(cacheStatus(seen)).toMatchObject({ hit: true });
      expect(seen.tookMs).toBeLessThan(AT_ONCE_MS);
    }
    expect(upstream.count).toBe(1);
    expect(await metric(gateway, 'gateway_queue_depth')).toBe(0);
  });

  it.each([
    { name: '500', fault: { kind: 'status', status: 500 } },
    { name: '503', fault: { kind: 'status', status: 503 } },
    { name: 'a reset', fault: { kind: 'reset' } },
    { name: 'rubbish', fault: { kind: 'not-json' } },
    { name: 'a client that is unknown', fault: { kind: 'unknown-client' } },
    // Nothing can be sent for a while after this.
    { name: '429', fault: { kind: 'too-many', retryAfter: '600' } },
  ] as const)('is served as stale-if-error when the refresh meets $name', async ({ fault }) => {
    const id = await staleCopy(shared);
    shared.upstream.fault(fault);
    const seen = await readJob(shared.gateway, id);
    expectStale(seen, 'stale-if-error');
    expect(cacheStatus(seen)).toMatchObject({ fwd: 'token:stale' });
  });

  it('is served as stale-if-error when upstream does not answer or there is no token', async () => {
    const { upstream, gateway, id } = await withStaleCopy({ UPSTREAM_TIMEOUT: '2s' });
    upstream.fault({ kind: 'hang' }, { times: 1 });
    expectStale(await readJob(gateway, id), 'stale-if-error');
    upstream.set({ tokenFault: { kind: 'status', status: 503 } });
    upstream.revokeTokens();
    expectStale(await readJob(gateway, id), 'stale-if-error');
    expectStale(await readJob(gateway, id), 'stale-if-error');
  });

  it('is replaced when the job is deleted, and dropped after a 403', async () => {
    const { upstream, gateway, id } = await withStaleCopy({ NEGATIVE_TTL: '2s' });
    upstream.fault({ kind: 'status', status: 404 }, { times: 1 });
    const since = performance.now();
    expect((await readJob(gateway, id)).status).toBe(404);
    await until('it is read again', async () => (await readJob(gateway, id)).status === 200);
    expect(upstream.calls[1]!.at - since).toBeGreaterThanOrEqual(2000);
    await delay(250);
    upstream.fault({ kind: 'status', status: 403 });
    expect((await readJob(gateway, id)).status).toBe(403);
    expect((await readJob(gateway, id, { headers: { 'cache-control': 'only-if-cached' } })).status).toBe(504);
  });

  it('is not served beyond ACTIVE_STALE', async () => {
    const { upstream, gateway } = await rig({ ...SOON_STALE, ACTIVE_STALE: '1s' });
    const { id } = upstream.addJob({ state: 'active' });
    const since = performance.now();
    await readJob(gateway, id);
    upstream.fault({ kind: 'status', status: 500 });
    await until('the copy is too old', async () => {
      const seen = await readJob(gateway, id);
      if (seen.status === 200 && cacheStatus(seen)['hit'] !== true) expectStale(seen, 'stale-if-error');
      return seen.status === 502;
    });
    expect(performance.now() - since).toBeGreaterThanOrEqual(1000);
  });
});

describe('the RateLimit fields', () => {
  const read = async (gateway: Gateway, upstream: FakeUpstream) => readJob(gateway, upstream.addJob().id);

  it('contain the limits and what remains, on answers from upstream', async () => {
    const { upstream, gateway } = await rig({ UPSTREAM_LIMITS: '500/1m,5000/1h' });
    const since = performance.now();
    await read(gateway, upstream);
    const { headers } = await read(gateway, upstream);
    const tookSeconds = (performance.now() - since) / 1000;
    expect(headers['ratelimit-policy']).toBe('"1m";q=500;w=60, "1h";q=5000;w=3600');
    const [[name, params]] = parseList(String(headers['ratelimit'])) as [[string, Map<string, number>]];
    expect([name, params.get('r')]).toEqual(['1m', 498]);
    expect(params.get('t')).toBeGreaterThanOrEqual(59 - tookSeconds);
    expect(params.get('t')).toBeLessThanOrEqual(61);
  });

  it('are present on a refusal for lack of quota, and absent on hits', async () => {
    const { upstream, gateway } = await rig({ UPSTREAM_LIMITS: '2/2m', PATIENCE: '10s' });
    const { id } = upstream.addJob();
    await readJob(gateway, id);
    const refused = await read(gateway, upstream);
    expect(refused.status).toBe(429);
    expect(refused.headers['ratelimit']).toMatch(/^"2m";r=1;t=\d+$/);
    expect((await readJob(gateway, id)).headers['ratelimit']).toBeUndefined();
  });
});
