import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { cacheStatus } from '../support/cache-status.ts';
import { type Gateway, testCaller } from '../support/gateway.ts';
import { errorOf, jobIds, metric, readJob } from '../support/reads.ts';
import { startUpstream, startGateway } from '../support/rig.ts';
import { shareRig } from '../support/shared-rig.ts';
import { AT_ONCE_MS, expectStale, rig, SOON_STALE, withStaleCopy } from '../support/stale-copy.ts';
import { until } from '../support/until.ts';

const NO_CACHE = { 'cache-control': 'no-cache' };

describe("a caller's freshness bound", () => {
  it('no-cache refreshes a fresh copy, also of a finished job', async () => {
    const { upstream, gateway } = await rig();
    for (const state of ['success', 'active']) {
      const { id } = upstream.addJob({ state });
      await readJob(gateway, id);
      const seen = await readJob(gateway, id, { headers: NO_CACHE });
      expect(cacheStatus(seen)).toMatchObject({ fwd: 'token:request' });
      expect(upstream.callsFor(id)).toHaveLength(2);
      expect(cacheStatus(await readJob(gateway, id))).toMatchObject({ hit: true });
    }
  });

  it('max-age refreshes an older copy, and serves a newer one', async () => {
    const { upstream, gateway } = await rig({ ACTIVE_FRESH: '1m' });
    const { id } = upstream.addJob({ state: 'active' });
    await readJob(gateway, id);
    expect(
      cacheStatus(await readJob(gateway, id, { headers: { 'cache-control': 'max-age=50' } })),
    ).toMatchObject({
      hit: true,
    });
    await delay(1050);
    const seen = await readJob(gateway, id, { headers: { 'cache-control': 'private, max-age="1"' } });
    expect(cacheStatus(seen)).toMatchObject({ fwd: 'token:request' });
    expect(Number(seen.headers['age'])).toBeLessThanOrEqual(seen.tookMs / 1000);
    expect(upstream.count).toBe(2);
  });

  it('gets the error instead of the copy when the refresh fails', async () => {
    const { upstream, gateway, id } = await withStaleCopy();
    upstream.fault({ kind: 'status', status: 500 });
    for (const headers of [NO_CACHE, { 'cache-control': 'max-age=0' }]) {
      const seen = await readJob(gateway, id, { headers });
      expect([seen.status, errorOf(seen).code]).toEqual([502, 'UpstreamError']);
    }
  });

  it('joins only a call that has not been sent yet', async () => {
    const { upstream, gateway } = await rig({ ...SOON_STALE, UPSTREAM_CONCURRENCY: '2' });
    const { id } = upstream.addJob({ state: 'active' });
    upstream.fault({ kind: 'hold' });
    const early = readJob(gateway, id);
    await upstream.arrived(1);
    const later = readJob(gateway, id, { headers: NO_CACHE });
    await upstream.arrived(2);
    // Both slots are taken: this read waits, and a no-cache read joins it.
    const [other = ''] = jobIds(1);
    const first = readJob(gateway, other);
    await untilWaiting(gateway, 1);
    const joins = readJob(gateway, other, { headers: NO_CACHE });
    // After answers to later requests the read is in progress.
    for (let later = 0; later < 3; later++) await fetch(`${gateway.url}/health/live`);
    expect(await metric(gateway, 'gateway_queue_depth')).toBe(1);
    upstream.clearFaults();
    expect([(await early).status, (await later).status]).toEqual([200, 200]);
    expect([(await first).status, (await joins).status]).toEqual([404, 404]);
    expect([upstream.callsFor(id).length, upstream.callsFor(other).length]).toEqual([2, 1]);
  });

  it('never shows an earlier state of a finished job', async () => {
    const { upstream, gateway } = await rig();
    const { id } = upstream.addJob({ state: 'success' });
    const finished = (await readJob(gateway, id)).body;
    upstream.setState(id, 'active');
    expect((await readJob(gateway, id, { headers: NO_CACHE })).body.equals(finished)).toBe(true);
    expect((await readJob(gateway, id)).body.equals(finished)).toBe(true);
    upstream.fault({ kind: 'status', status: 404 });
    expect((await readJob(gateway, id, { headers: NO_CACHE })).status).toBe(404);
    expect((await readJob(gateway, id)).status).toBe(404);
  });

  it('in a loop uses only its fair part: first reads and older copies of others have priority', async () => {
    const [looping, other] = [testCaller('looping'), testCaller('other')];
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const env = { ...SOON_STALE, UPSTREAM_LIMITS: '40/1s', ACTIVE_FRESH: '1s' };
    const gateway = await startGateway({ upstream, callers: [looping, other], env });
    const watched = Array.from({ length: 5 }, () => upstream.addJob({ state: 'active' }).id);
    const spent = Array.from({ length: 130 }, () => upstream.addJob({ state: 'active' }).id);
    // With copies of many jobs its reads are refreshes, of another job each time.
    await Promise.all([...watched, ...spent].map((id) => readJob(gateway, id, { caller: looping })));
    let looks = true;
    const loops = Array.from({ length: 100 }, async (_, turn) => {
      for (let at = turn; looks; at += 100) {
        await readJob(gateway, spent[at % spent.length]!, { caller: looping, headers: NO_CACHE });
      }
    });
    await untilWaiting(gateway, 80);
    /** Number of calls before the calls of the other caller. */
    const firsts: number[] = [];
    const refreshes: number[] = [];
    await until('several refreshes have been made', async () => {
      const [fresh = ''] = jobIds(1);
      const before = upstream.count;
      const read = async (id: string, places: number[]): Promise<void> => {
        expect((await readJob(gateway, id, { caller: other })).status).toBe(200);
        const place = upstream.calls.slice(before).findIndex(({ jobId }) => jobId === id);
        if (place >= 0) places.push(place);
      };
      await Promise.all([read(fresh, firsts), ...watched.map((id) => read(id, refreshes))]);
      return refreshes.length >= 15;
    });
    looks = false;
    await Promise.all(loops);
    // Ten are in progress. First reads get three turns of four, other refreshes half of the rest. Over ninety wait.
    expect(Math.max(...firsts)).toBeLessThanOrEqual(30);
    expect(Math.max(...refreshes)).toBeLessThanOrEqual(50);
  });
});

async function untilWaiting(gateway: Gateway, count: number): Promise<void> {
  await until(`${count} wait`, async () => (await metric(gateway, 'gateway_queue_depth')) >= count);
}

describe('only-if-cached', () => {
  const only = { headers: { 'cache-control': 'only-if-cached' } };

  it('serves a copy, also a stale one, and starts no call', async () => {
    const { upstream, gateway, id } = await withStaleCopy();
    const seen = await readJob(gateway, id, only);
    expectStale(seen, 'stale');
    expect(seen.tookMs).toBeLessThan(AT_ONCE_MS);
    const { id: finished } = upstream.addJob();
    await readJob(gateway, finished);
    expect(cacheStatus(await readJob(gateway, finished, only))).toMatchObject({ hit: true });
    expect(upstream.count).toBe(1);
  });

  it('gets 504 when there is no copy, or none new enough', async () => {
    const { upstream, gateway } = await rig();
    const { id } = upstream.addJob();
    const missing = await readJob(gateway, id, only);
    expect([missing.status, errorOf(missing).code]).toEqual([504, 'NotCached']);
    await readJob(gateway, id);
    const tooOld = await readJob(gateway, id, { headers: { 'cache-control': 'only-if-cached, max-age=0' } });
    expect(tooOld.status).toBe(504);
    expect(upstream.count).toBe(1);
  });
});

describe('Prefer: wait', () => {
  it('shortens the wait for a slot, and never extends it', async () => {
    const { upstream, gateway } = await rig({
      UPSTREAM_CONCURRENCY: '1',
      PATIENCE: '2s',
      UPSTREAM_TIMEOUT: '2m',
    });
    upstream.fault({ kind: 'hold' });
    const busy = readJob(gateway, upstream.addJob().id);
    await upstream.arrived(1);
    const ended: string[] = [];
    const took = async (prefer: string): Promise<number> => {
      const seen = await readJob(gateway, upstream.addJob().id, { headers: { prefer } });
      expect(seen.status).toBe(429);
      ended.push(prefer);
      return seen.tookMs;
    };
    const [, one, lenient, most] = await Promise.all([
      took('wait=0'),
      took('respond-async, wait=1'),
      took('wait=soon'),
      took('wait=600'),
    ]);
    expect(ended.slice(0, 2)).toEqual(['wait=0', 'respond-async, wait=1']);
    expect(one).toBeGreaterThanOrEqual(990);
    for (const whole of [lenient, most]) expect(whole).toBeGreaterThanOrEqual(1990);
    upstream.clearFaults();
    expect((await busy).status).toBe(200);
  });
});

describe('invalid headers', () => {
  const shared = shareRig();

  it.each([
    'max-age',
    'max-age=-1',
    'max-age=1.5',
    'no_cache',
    '"no-cache"',
    ',,=;',
    'max-age=99999999999999999999',
  ])('are ignored: Cache-Control: %s', async (value) => {
    const { id } = shared.upstream.addJob();
    await readJob(shared.gateway, id);
    const seen = await readJob(shared.gateway, id, { headers: { 'cache-control': value } });
    expect(cacheStatus(seen)).toMatchObject({ hit: true });
    expect(shared.upstream.count).toBe(1);
  });
});
