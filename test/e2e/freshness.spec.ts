import { describe, expect, it } from '@jest/globals';
import { parseList } from 'structured-headers';
import type { ITwinDouble } from '../simulator/itwin-double.ts';
import { cacheStatus } from '../support/cache-status.ts';
import { type Gateway, testCaller } from '../support/gateway.ts';
import { errorOf, jobIds, metric, readJob, type Seen } from '../support/reads.ts';
import { startDouble, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';

const NO_CACHE = { 'cache-control': 'no-cache' };

async function rig(env: Readonly<Record<string, string>> = {}) {
  const double = await startDouble();
  return { double, gateway: await startGateway({ double, env }) };
}

/** A gateway with a copy of a running job that is no longer fresh; reads wait little for its refresh. */
async function withStaleCopy(env: Readonly<Record<string, string>> = {}) {
  const { double, gateway } = await rig({ ACTIVE_FRESH: '200ms', REFRESH_WAIT: '500ms', ...env });
  const { id } = double.addJob({ state: 'active' });
  const first = await readJob(gateway, id);
  const since = performance.now();
  await until('it is stale', () => performance.now() > since + 250);
  return { double, gateway, id, first };
}

const states = ({ body }: Seen): string =>
  (JSON.parse(body.toString()) as { job: { state: string } }).job.state;

/** All that the callers saw of a job that runs: 200 with this state, from a copy that is served as stale. */
function expectStale(seen: Seen, detail: 'stale' | 'stale-if-error'): void {
  expect(seen.status).toBe(200);
  expect(states(seen)).toBe('active');
  expect(cacheStatus(seen)).toMatchObject({ detail: `token:${detail}` });
  expect(Number(cacheStatus(seen)['ttl'])).toBeLessThan(0);
  expect(seen.headers['cache-control']).toBe(`private, max-age=${String(seen.headers['age'])}`);
}

describe('a copy that is no longer fresh', () => {
  it('is read again: a poll returns what upstream says now, not what it said to the last one', async () => {
    const { double, gateway, id } = await withStaleCopy();
    double.setState(id, 'success');
    const seen = await readJob(gateway, id);
    expect(states(seen)).toBe('success');
    expect(cacheStatus(seen)).toMatchObject({ fwd: 'token:stale' });
    expect(double.count).toBe(2);
  });

  it('is served as stale when its refresh takes longer than REFRESH_WAIT, while that goes on', async () => {
    const { double, gateway, id } = await withStaleCopy();
    double.fault({ kind: 'hold' });
    double.setState(id, 'success');
    const seen = await Promise.all([readJob(gateway, id), readJob(gateway, id), readJob(gateway, id)]);
    for (const one of seen) {
      expectStale(one, 'stale');
      expect(cacheStatus(one)).toMatchObject({ fwd: 'token:stale' });
      expect(one.tookMs).toBeGreaterThanOrEqual(490);
      expect(one.tookMs).toBeLessThan(900);
    }
    double.clearFaults();
    await until('the refresh has come', async () => states(await readJob(gateway, id)) === 'success');
    expect(double.count).toBe(2);
  });

  it('is served at once when it is known that the refresh will take longer', async () => {
    const { double, gateway, id } = await withStaleCopy({ PATIENCE: '30s' });
    double.fault({ kind: 'too-many', retryAfter: '1200' }, { times: 1 });
    expectStale(await readJob(gateway, id), 'stale-if-error');
    for (let polls = 0; polls < 5; polls++) {
      const seen = await readJob(gateway, id);
      expectStale(seen, 'stale');
      expect(cacheStatus(seen)).toMatchObject({ hit: true });
      expect(seen.tookMs).toBeLessThan(250);
    }
    expect(double.count).toBe(2);
    expect(await metric(gateway, 'gateway_queue_depth')).toBe(0);
  });

  it.each([
    { name: '500', fault: { kind: 'status', status: 500 } },
    { name: '503', fault: { kind: 'status', status: 503 } },
    { name: '429', fault: { kind: 'too-many', retryAfter: '1' } },
    { name: 'a reset', fault: { kind: 'reset' } },
    { name: 'rubbish', fault: { kind: 'not-json' } },
    { name: 'a client that is unknown', fault: { kind: 'unknown-client' } },
  ] as const)('is served as stale-if-error when the refresh meets $name', async ({ fault }) => {
    const { double, gateway, id } = await withStaleCopy({ PATIENCE: '300ms' });
    double.fault(fault);
    const seen = await readJob(gateway, id);
    expectStale(seen, 'stale-if-error');
    expect(cacheStatus(seen)).toMatchObject({ fwd: 'token:stale' });
  });

  it('is served as stale-if-error when upstream does not answer, and when there is no token', async () => {
    const { double, gateway, id } = await withStaleCopy({ UPSTREAM_TIMEOUT: '200ms' });
    double.fault({ kind: 'hang' }, { times: 1 });
    expectStale(await readJob(gateway, id), 'stale-if-error');
    double.set({ tokenFault: { kind: 'status', status: 503 } });
    double.revokeTokens();
    expectStale(await readJob(gateway, id), 'stale-if-error');
    expectStale(await readJob(gateway, id), 'stale-if-error');
  });

  it('is replaced by the knowledge that the job is gone, and dropped when the gateway may not see it any more', async () => {
    const { double, gateway, id } = await withStaleCopy({ NEGATIVE_TTL: '200ms' });
    double.fault({ kind: 'status', status: 404 }, { times: 1 });
    expect((await readJob(gateway, id)).status).toBe(404);
    expect((await readJob(gateway, id)).status).toBe(404);
    expect(double.count).toBe(2);
    await until('it is read again', async () => (await readJob(gateway, id)).status === 200);
    const since = performance.now();
    await until('it is stale', () => performance.now() > since + 250);
    double.fault({ kind: 'status', status: 403 });
    expect((await readJob(gateway, id)).status).toBe(403);
    expect((await readJob(gateway, id, { headers: { 'cache-control': 'only-if-cached' } })).status).toBe(504);
  });

  it('is not served any more past ACTIVE_STALE', async () => {
    const { double, gateway, id } = await withStaleCopy({ ACTIVE_STALE: '600ms' });
    double.fault({ kind: 'status', status: 500 });
    expectStale(await readJob(gateway, id), 'stale-if-error');
    await until('the copy is too old', async () => (await readJob(gateway, id)).status === 502);
  });
});

describe("a caller's freshness bound", () => {
  it('no-cache reads a fresh copy again, a finished one too', async () => {
    const { double, gateway } = await rig();
    for (const state of ['success', 'active']) {
      const { id } = double.addJob({ state });
      await readJob(gateway, id);
      const seen = await readJob(gateway, id, { headers: NO_CACHE });
      expect(cacheStatus(seen)).toMatchObject({ fwd: 'token:request' });
      expect(double.callsFor(id)).toHaveLength(2);
      expect(cacheStatus(await readJob(gateway, id))).toMatchObject({ hit: true });
    }
  });

  it('max-age reads again what is older, and serves what is not', async () => {
    const { double, gateway } = await rig({ ACTIVE_FRESH: '1m' });
    const { id } = double.addJob({ state: 'active' });
    await readJob(gateway, id);
    const since = performance.now();
    expect(
      cacheStatus(await readJob(gateway, id, { headers: { 'cache-control': 'max-age=10' } })),
    ).toMatchObject({
      hit: true,
    });
    await until('it is over a second old', () => performance.now() > since + 1050);
    const seen = await readJob(gateway, id, { headers: { 'cache-control': 'private, max-age="1"' } });
    expect(cacheStatus(seen)).toMatchObject({ fwd: 'token:request' });
    expect(seen.headers['age']).toBe('0');
    expect(double.count).toBe(2);
  });

  it('gets the error, not the copy, when the read fails', async () => {
    const { double, gateway, id } = await withStaleCopy();
    double.fault({ kind: 'status', status: 500 });
    for (const headers of [NO_CACHE, { 'cache-control': 'max-age=0' }]) {
      const seen = await readJob(gateway, id, { headers });
      expect([seen.status, errorOf(seen).code]).toEqual([502, 'UpstreamError']);
    }
  });

  it('joins a call that has not been sent, and no other', async () => {
    const { double, gateway } = await rig({ UPSTREAM_CONCURRENCY: '2' });
    const { id } = double.addJob({ state: 'active' });
    double.fault({ kind: 'hold' });
    const early = readJob(gateway, id);
    await double.arrived(1);
    const later = readJob(gateway, id, { headers: NO_CACHE });
    await double.arrived(2);
    // Both slots are taken: what comes now waits, and is waited for by one who takes nothing older.
    const [other = ''] = jobIds(1);
    const first = readJob(gateway, other);
    await untilWaiting(gateway, 1);
    const joins = readJob(gateway, other, { headers: NO_CACHE });
    await until('it has come', async () => (await metric(gateway, 'gateway_queue_depth')) === 1);
    double.clearFaults();
    expect([(await early).status, (await later).status]).toEqual([200, 200]);
    expect([(await first).status, (await joins).status]).toEqual([404, 404]);
    expect([double.callsFor(id).length, double.callsFor(other).length]).toEqual([2, 1]);
  });

  it('never shows an earlier state of a job that was seen finished', async () => {
    const { double, gateway } = await rig();
    const { id } = double.addJob({ state: 'success' });
    const finished = (await readJob(gateway, id)).body;
    double.setState(id, 'active');
    expect((await readJob(gateway, id, { headers: NO_CACHE })).body.equals(finished)).toBe(true);
    expect((await readJob(gateway, id)).body.equals(finished)).toBe(true);
    double.fault({ kind: 'status', status: 404 });
    expect((await readJob(gateway, id, { headers: NO_CACHE })).status).toBe(404);
    expect((await readJob(gateway, id)).status).toBe(404);
  });

  it('in a loop spends no more than its fair part: first reads and older copies of others go before it', async () => {
    const [looping, other] = [testCaller('looping'), testCaller('other')];
    const double = await startDouble({ unknownJobs: 'make' });
    const env = { UPSTREAM_LIMITS: '20/2s', PATIENCE: '20s', ACTIVE_FRESH: '1s' };
    const gateway = await startGateway({ double, callers: [looping, other], env });
    const watched = Array.from({ length: 5 }, () => double.addJob({ state: 'active' }).id);
    const spent = Array.from({ length: 60 }, () => double.addJob({ state: 'active' }).id);
    // Known copies of many jobs: what it asks for is no first read, and never twice the same.
    for (const id of spent) await readJob(gateway, id, { caller: looping });
    let looks = true;
    const loops = Array.from({ length: 40 }, async (_, turn) => {
      for (let at = turn; looks; at += 40) {
        await readJob(gateway, spent[at % spent.length]!, { caller: looping, headers: NO_CACHE });
      }
    });
    for (let round = 0; round < 20; round++) {
      const [fresh = ''] = jobIds(1);
      const seen = await readJob(gateway, fresh, { caller: other });
      expect(seen.status).toBe(200);
      expect(seen.tookMs).toBeLessThan(1000);
      const polls = await Promise.all(watched.map((id) => readJob(gateway, id, { caller: other })));
      expect(polls.map(({ status }) => status)).toEqual(polls.map(() => 200));
      expect(Math.max(...polls.map(({ headers }) => Number(headers['age'])))).toBeLessThanOrEqual(3);
    }
    looks = false;
    await Promise.all(loops);
  }, 60_000);
});

async function untilWaiting(gateway: Gateway, count: number): Promise<void> {
  await until(`${count} wait`, async () => (await metric(gateway, 'gateway_queue_depth')) >= count);
}

describe('only-if-cached', () => {
  const only = { headers: { 'cache-control': 'only-if-cached' } };

  it('serves a copy, a stale one too, and starts nothing', async () => {
    const { double, gateway, id } = await withStaleCopy();
    const seen = await readJob(gateway, id, only);
    expectStale(seen, 'stale');
    expect(seen.tookMs).toBeLessThan(300);
    const { id: finished } = double.addJob();
    await readJob(gateway, finished);
    expect(cacheStatus(await readJob(gateway, finished, only))).toMatchObject({ hit: true });
    expect(double.count).toBe(2);
  });

  it('is answered 504 when there is none, or none so new', async () => {
    const { double, gateway } = await rig();
    const { id } = double.addJob();
    const missing = await readJob(gateway, id, only);
    expect([missing.status, errorOf(missing).code]).toEqual([504, 'NotCached']);
    await readJob(gateway, id);
    const tooOld = await readJob(gateway, id, { headers: { 'cache-control': 'only-if-cached, max-age=0' } });
    expect(tooOld.status).toBe(504);
    expect(double.count).toBe(1);
  });
});

describe('Prefer: wait', () => {
  it('bounds the wait for a slot, and never makes it longer', async () => {
    const { double, gateway } = await rig({
      UPSTREAM_CONCURRENCY: '1',
      PATIENCE: '2s',
      UPSTREAM_TIMEOUT: '20s',
    });
    double.fault({ kind: 'hold' });
    const busy = readJob(gateway, double.addJob().id);
    await double.arrived(1);
    const took = async (prefer: string): Promise<number> => {
      const seen = await readJob(gateway, double.addJob().id, { headers: { prefer } });
      expect(seen.status).toBe(429);
      return seen.tookMs;
    };
    const [none, one, lenient, most] = await Promise.all([
      took('wait=0'),
      took('respond-async, wait=1'),
      took('wait=soon'),
      took('wait=600'),
    ]);
    expect(none).toBeLessThan(600);
    expect(one).toBeGreaterThanOrEqual(990);
    expect(one).toBeLessThan(1600);
    for (const whole of [lenient, most]) expect(whole).toBeGreaterThanOrEqual(1990);
    double.clearFaults();
    expect((await busy).status).toBe(200);
  });
});

describe('headers that cannot be understood', () => {
  it.each([
    'max-age',
    'max-age=-1',
    'max-age=1.5',
    'no_cache',
    '"no-cache"',
    ',,=;',
    'max-age=99999999999999999999',
  ])('are ignored: Cache-Control: %s', async (value) => {
    const { double, gateway } = await rig();
    const { id } = double.addJob();
    await readJob(gateway, id);
    expect(cacheStatus(await readJob(gateway, id, { headers: { 'cache-control': value } }))).toMatchObject({
      hit: true,
    });
    expect(double.count).toBe(1);
  });
});

describe('the RateLimit fields', () => {
  const read = async (gateway: Gateway, double: ITwinDouble) => readJob(gateway, double.addJob().id);

  it('say what the subscription allows and how much is left, on what went upstream', async () => {
    const { double, gateway } = await rig({ UPSTREAM_LIMITS: '500/1m,5000/1h' });
    await read(gateway, double);
    const { headers } = await read(gateway, double);
    expect(headers['ratelimit-policy']).toBe('"1m";q=500;w=60, "1h";q=5000;w=3600');
    const [[name, params]] = parseList(String(headers['ratelimit'])) as [[string, Map<string, number>]];
    expect([name, params.get('r')]).toEqual(['1m', 498]);
    expect(params.get('t')).toBeGreaterThanOrEqual(59);
    expect(params.get('t')).toBeLessThanOrEqual(61);
  });

  it('stand on a refusal for lack of quota, and on no hit', async () => {
    const { double, gateway } = await rig({ UPSTREAM_LIMITS: '2/1m', PATIENCE: '100ms' });
    const { id } = double.addJob();
    await readJob(gateway, id);
    const refused = await read(gateway, double);
    expect(refused.status).toBe(429);
    expect(refused.headers['ratelimit']).toMatch(/^"1m";r=1;t=\d+$/);
    expect((await readJob(gateway, id)).headers['ratelimit']).toBeUndefined();
  });
});
