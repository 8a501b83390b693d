import { describe, expect, it } from '@jest/globals';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import type { FaultSpec } from '../fake-upstream/faults.ts';
import type { Gateway } from '../support/gateway.ts';
import { readiness } from '../support/readiness.ts';
import { errorOf, jobIds, metric, readJob, type Seen } from '../support/reads.ts';
import { startUpstream, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';

const OPENED = 'circuit opened';
const CLOSED = 'circuit closed';
const DOWN = { kind: 'status', status: 500 } as const;

/** A patience far beyond any read on a busy machine: immediate answers arrive long before it ends. */
const PATIENCE_MS = 60_000;

interface Rig {
  readonly upstream: FakeUpstream;
  readonly gateway: Gateway;
}

async function start(env: Readonly<Record<string, string>> = {}): Promise<Rig> {
  const upstream = await startUpstream({ unknownJobs: 'make' });
  return {
    upstream,
    gateway: await startGateway({ upstream, env: { PATIENCE: `${PATIENCE_MS}ms`, ...env } }),
  };
}

const readNew = (gateway: Gateway): Promise<Seen> => readJob(gateway, jobIds(1)[0]!);
const readMany = (gateway: Gateway, count: number): Promise<Seen>[] =>
  jobIds(count).map((id) => readJob(gateway, id));
const lines = (gateway: Gateway, msg: string): number =>
  gateway.log.filter((line) => line.msg === msg).length;
const upstreamHealth = async (gateway: Gateway): Promise<string | undefined> =>
  (await readiness(gateway)).parts['upstream'];

/**
 * Makes upstream fail until the circuit opens, then resets the recorded calls.
 * @returns arrival of the last failed call
 */
async function open({ upstream, gateway }: Rig, fault: FaultSpec = DOWN): Promise<number> {
  upstream.fault(fault);
  for (const seen of await Promise.all(readMany(gateway, 10))) expect([502, 503]).toContain(seen.status);
  const last = upstream.calls.at(-1)!.at;
  upstream.clear();
  return last;
}

/** Waits until a read goes upstream again. */
async function untilTried({ upstream, gateway }: Rig): Promise<void> {
  await until('upstream is tried', async () => {
    await readNew(gateway);
    return upstream.count > 0;
  });
}

/** Waits for the end of the pause without a read, by the Retry-After of refusals. */
async function untilMayBeTried(gateway: Gateway): Promise<void> {
  const refused = await readNew(gateway);
  expectRefusal(refused);
  const end = performance.now() + Number(refused.headers['retry-after']) * 1000;
  await until('the pause is over', () => performance.now() > end, 12_000);
}

function expectRefusal(seen: Seen): void {
  expect([seen.status, errorOf(seen).code]).toEqual([503, 'ServiceUnavailable']);
  expect(String(seen.headers['retry-after'])).toMatch(/^[1-9]\d*$/);
}

describe('an upstream that fails persistently', () => {
  it.each([DOWN, { kind: 'status', status: 503 }, { kind: 'reset' }] as const)(
    'by %j gets no more calls: reads get 503 with Retry-After at once, and copies are served',
    async (fault) => {
      const rig = await start();
      const { upstream, gateway } = rig;
      const { id } = upstream.addJob({ state: 'success' });
      expect((await readJob(gateway, id)).status).toBe(200);
      await open(rig, fault);
      expect(await upstreamHealth(gateway)).toBe('degraded');
      const seen = await Promise.all(readMany(gateway, 100));
      // Whenever a pause ends, one read becomes a trial.
      const refused = seen.filter(({ status }) => status === 503);
      refused.forEach(expectRefusal);
      expect(refused.length).toBeGreaterThanOrEqual(95);
      // At once, long before their patience ends.
      expect(Math.max(...refused.map(({ tookMs }) => tookMs))).toBeLessThan(PATIENCE_MS / 2);
      expect(upstream.count).toBeLessThanOrEqual(10);
      expect((await readJob(gateway, id)).status).toBe(200);
      expect(lines(gateway, OPENED)).toBe(1);
    },
  );

  it('fails all queued reads at once when the circuit opens, without using quota', async () => {
    const { upstream, gateway } = await start({ UPSTREAM_TIMEOUT: '1s' });
    upstream.fault({ kind: 'hang' });
    const seen = await Promise.all(readMany(gateway, 100));
    const statuses = Object.groupBy(seen, ({ status }) => status);
    expect(Object.keys(statuses)).toEqual(['503', '504']);
    statuses[503]!.forEach(expectRefusal);
    // Ten time out; a few more may have used a free slot before the tenth.
    expect(upstream.count).toBeLessThanOrEqual(20);
    expect(Math.max(...seen.map(({ tookMs }) => tookMs))).toBeLessThan(PATIENCE_MS / 2);
    const taken = 100_000 - (await metric(gateway, 'gateway_budget_remaining'));
    expect(taken).toBeLessThanOrEqual(upstream.count);
  });

  it('is tried by one read; the others wait for its result and are then served', async () => {
    const rig = await start();
    const { upstream, gateway } = rig;
    await open(rig);
    upstream.clearFaults();
    upstream.fault({ kind: 'hold' });
    await untilMayBeTried(gateway);
    const reading = readMany(gateway, 100);
    await until('the others wait', async () => (await metric(gateway, 'gateway_queue_depth')) === 99);
    expect(upstream.count).toBe(1);
    upstream.clearFaults();
    expect((await Promise.all(reading)).map(({ status }) => status)).toEqual(reading.map(() => 200));
    expect(upstream.count).toBe(100);
    expect(await upstreamHealth(gateway)).toBe('up');
    await gateway.logged(({ msg }) => msg === CLOSED);
    expect([lines(gateway, OPENED), lines(gateway, CLOSED)]).toEqual([1, 1]);
  });

  it('is avoided for longer after a failed trial, and used again after a successful one', async () => {
    const rig = await start();
    const { upstream, gateway } = rig;
    const opened = await open(rig);
    await untilTried(rig);
    const [first] = upstream.calls;
    expect(first!.at - opened).toBeGreaterThanOrEqual(1000);
    upstream.clear();
    await untilTried(rig);
    const [second] = upstream.calls;
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(2000);
    upstream.clearFaults();
    await until('upstream is back', async () => (await readNew(gateway)).status === 200);
    expect((await Promise.all(readMany(gateway, 50))).every(({ status }) => status === 200)).toBe(true);
    await gateway.logged(({ msg }) => msg === CLOSED);
    expect([lines(gateway, OPENED), lines(gateway, CLOSED)]).toEqual([1, 1]);
  });

  it('is tried by the next read at once when the caller of the trial disconnects', async () => {
    const rig = await start();
    const { upstream, gateway } = rig;
    await open(rig);
    upstream.clearFaults();
    upstream.fault({ kind: 'hang' }, { times: 1 });
    await untilMayBeTried(gateway);
    const leaving = new AbortController();
    const gone = readJob(gateway, jobIds(1)[0]!, { signal: leaving.signal });
    await upstream.arrived(1);
    const next = readNew(gateway);
    await until('the next waits', async () => (await metric(gateway, 'gateway_queue_depth')) === 1);
    leaving.abort();
    await expect(gone).rejects.toThrow();
    expect((await next).status).toBe(200);
    expect(upstream.count).toBe(2);
    await gateway.logged(({ msg }) => msg === CLOSED);
    expect([lines(gateway, OPENED), lines(gateway, CLOSED)]).toEqual([1, 1]);
  });

  it('delays no read beyond its patience during a trial: it then gets 503', async () => {
    const rig = await start();
    const { upstream, gateway } = rig;
    await open(rig);
    upstream.clearFaults();
    upstream.fault({ kind: 'hold' });
    await untilMayBeTried(gateway);
    const trial = readNew(gateway);
    await upstream.arrived(1);
    const waited = await readJob(gateway, jobIds(1)[0]!, { headers: { prefer: 'wait=1' } });
    expectRefusal(waited);
    expect(waited.tookMs).toBeGreaterThanOrEqual(990);
    expect(waited.tookMs).toBeLessThan(PATIENCE_MS / 2);
    upstream.clearFaults();
    expect((await trial).status).toBe(200);
  });

  it('gets no call before the Retry-After of its 503s ends, and callers get no earlier Retry-After', async () => {
    const { upstream, gateway } = await start();
    upstream.fault({ kind: 'status', status: 503, headers: { 'retry-after': '600' } });
    for (const { status } of await Promise.all(readMany(gateway, 10)))
      expect([429, 502, 503]).toContain(status);
    upstream.clear();
    for (const { status, headers } of await Promise.all(readMany(gateway, 20))) {
      // The gate is closed, and the circuit may be open too.
      expect([429, 503]).toContain(status);
      expect(Number(headers['retry-after'])).toBeGreaterThan(500);
    }
    expect(upstream.count).toBe(0);
  });
});

describe('a job that always fails', () => {
  it.each([
    DOWN,
    { kind: 'reset' },
    { kind: 'status', status: 503, headers: { 'retry-after': '2' } },
  ] as const)(
    'by %j does not open the circuit, alone or among others, and is retried now and then',
    async (fault) => {
      const { upstream, gateway } = await start();
      const [bad = ''] = jobIds(1);
      upstream.fault(fault, { jobId: bad });
      expect((await readNew(gateway)).status).toBe(200);
      for (let round = 0; round < 100; round++) {
        const seen = await readJob(gateway, bad, { headers: { prefer: 'wait=0' } });
        expect([seen.status, errorOf(seen).code]).toEqual([502, 'UpstreamError']);
      }
      for (let round = 0; round < 20; round++) expect((await readNew(gateway)).status).toBe(200);
      expect(upstream.callsFor(bad).length).toBeLessThan(10);
      expect(await metric(gateway, 'gateway_paused_seconds')).toBe(0);
      expect(lines(gateway, OPENED)).toBe(0);
    },
  );
});

describe('a token endpoint that fails persistently', () => {
  it('gets one request at a time, ever less often; other reads get 503 at once, and copies are served', async () => {
    const { upstream, gateway } = await start();
    const { id } = upstream.addJob({ state: 'success' });
    expect((await readJob(gateway, id)).status).toBe(200);
    upstream.set({ tokenFault: DOWN });
    upstream.revokeTokens();
    upstream.clear();
    expectRefusal(await readNew(gateway));
    await until('it was asked three times', async () => {
      const seen = await Promise.all(readMany(gateway, 20));
      seen.forEach(expectRefusal);
      return upstream.tokenRequests.length >= 3;
    });
    const [first, second, third] = upstream.tokenRequests.map(({ at }) => at);
    expect(second! - first!).toBeGreaterThanOrEqual(990);
    expect(third! - second!).toBeGreaterThanOrEqual(1990);
    const refused = await Promise.all(readMany(gateway, 50));
    refused.forEach(expectRefusal);
    expect(Math.max(...refused.map(({ tookMs }) => tookMs))).toBeLessThan(PATIENCE_MS / 2);
    expect(upstream.tokenRequests.length).toBeLessThanOrEqual(4);
    // The calls that met the revoked token before a second one did: what has no token says nothing of the API, whose
    // circuit stays closed.
    expect(upstream.count).toBeLessThanOrEqual(1 + 10);
    expect(lines(gateway, OPENED)).toBe(0);
    expect((await readJob(gateway, id)).status).toBe(200);
    upstream.set({ tokenFault: null });
    await until('it has a token again', async () => (await readNew(gateway)).status === 200, 9000);
  });
});
