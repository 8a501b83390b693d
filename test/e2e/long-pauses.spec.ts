import { describe, expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { keyPrefix } from '../../src/store/shared-copies.ts';
import type { FaultSpec } from '../fake-upstream/faults.ts';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import type { Gateway, LogLine } from '../support/gateway.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { errorOf, jobIds, metric, readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { until } from '../support/until.ts';

jest.setTimeout(60_000);

const LIMITS = { UPSTREAM_LIMITS: '500/1m,5000/1h', PATIENCE: '1s' };
const HOUR_SECONDS = 3600;
/** Bound for the median of the answers, in milliseconds; the maximum only depends on a busy machine. */
const USUAL_MS = 50;
const LONGEST_MS = 2000;

const BOUND_MS = 20_000;

const CUT = 'upstream asked for a longer pause than LONGEST_CLOSING';
const epochSeconds = '1795582882';
const aYearAhead = (): string => new Date(Date.now() + 365 * 86_400_000).toUTCString();

const pauses = [
  ['429', 'epoch seconds', () => epochSeconds],
  ['429', 'a date a year ahead', aYearAhead],
  ['503', 'epoch seconds', () => epochSeconds],
  ['503', 'a date a year ahead', aYearAhead],
] as const;

function refusal(status: string, retryAfter: string): FaultSpec {
  return { kind: 'status', status: Number(status), headers: { 'retry-after': retryAfter } };
}

/** Makes upstream answer like this for several jobs until the gate is closed; a 503 needs more than one job. */
async function close(upstream: FakeUpstream, gateway: Gateway, fault: FaultSpec): Promise<void> {
  upstream.fault(fault);
  await until(
    'the gate is closed',
    async () => {
      await Promise.all(jobIds(3).map((id) => readJob(gateway, id)));
      return (await metric(gateway, 'gateway_paused_seconds')) > 0;
    },
    BOUND_MS,
  );
  upstream.clearFaults();
}

/** Reads a job until it is in memory: a slow store gives a miss. */
async function hold(gateway: Gateway, jobId: string): Promise<void> {
  await until('it is held', async () => (await readJob(gateway, jobId)).status === 200, BOUND_MS);
}

async function tookMs(path: string, gateway: Gateway): Promise<number> {
  const since = performance.now();
  const answer = await fetch(`${gateway.url}${path}`);
  await answer.arrayBuffer();
  expect([path, answer.status]).toEqual([path, 200]);
  return performance.now() - since;
}

/** Expects a live process that serves copies and refuses other reads, both at once. */
async function expectLively(gateways: readonly Gateway[], held: string): Promise<void> {
  const took: number[] = [];
  for (let round = 0; round < 15; round++) {
    for (const gateway of gateways) {
      const [hit, cold] = [await readJob(gateway, held), await readJob(gateway, jobIds(1)[0]!)];
      expect([hit.status, cold.status, errorOf(cold).code]).toEqual([200, 429, 'TooManyRequests']);
      const seconds = Number(cold.headers['retry-after']);
      expect(seconds).toBeGreaterThan(HOUR_SECONDS - 60);
      expect(seconds).toBeLessThanOrEqual(HOUR_SECONDS + 1);
      took.push(hit.tookMs, cold.tookMs, await tookMs('/health/live', gateway));
    }
  }
  const sorted = took.toSorted((a, b) => a - b);
  expect(sorted[sorted.length >> 1]).toBeLessThan(USUAL_MS);
  expect(sorted.at(-1)).toBeLessThan(LONGEST_MS);
}

const linesOf = (gateway: Gateway, message: string): LogLine[] =>
  gateway.log.filter(({ msg }) => msg === message);

describe.each(pauses)('a %s with a Retry-After of %s', (status, _, retryAfter) => {
  it('closes one gateway for at most LONGEST_CLOSING, and logs the requested pause once', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const { id: held } = upstream.addJob({ state: 'success' });
    const gateway = await startGateway({ upstream, env: LIMITS });
    await hold(gateway, held);
    await close(upstream, gateway, refusal(status, retryAfter()));
    const { count } = upstream;
    await expectLively([gateway], held);
    expect(upstream.count).toBe(count);
    expect(linesOf(gateway, CUT)).toHaveLength(1);
    expect(linesOf(gateway, CUT)[0]).toMatchObject({ closedMs: HOUR_SECONDS * 1000 });
    expect(Number(linesOf(gateway, CUT)[0]!['saidMs'])).toBeGreaterThan(300 * 86_400_000);
    expect(linesOf(gateway, 'gate closed')[0]).toMatchObject({
      forMs: HOUR_SECONDS * 1000,
      reason: Number(status),
    });
  });

  it('closes two replicas for at most LONGEST_CLOSING, also across a restart', async () => {
    const [upstream, redis] = [await startUpstream({ unknownJobs: 'make' }), await startRedis()];
    const admin = new Redis(redis.url);
    atEnd(async () => admin.disconnect());
    const { id: held } = upstream.addJob({ state: 'success' });
    const env = { ...LIMITS, REDIS_URL: redis.url, REPLICAS: '2' };
    const [one, other] = await Promise.all([
      startGateway({ upstream, env }),
      startGateway({ upstream, env }),
    ]);
    await Promise.all([untilRedisIs('up', one), untilRedisIs('up', other)]);
    await hold(one, held);
    await hold(other, held);
    await close(upstream, one, refusal(status, retryAfter()));
    await until('the other knows', async () => (await metric(other, 'gateway_paused_seconds')) > 0, BOUND_MS);
    const { count } = upstream;
    await expectLively([one, other], held);
    await one.stop();
    const again = await startGateway({ upstream, env });
    await until('it knows', async () => (await metric(again, 'gateway_paused_seconds')) > 0, BOUND_MS);
    await hold(again, held);
    await expectLively([other, again], held);
    expect(upstream.count).toBe(count);
    for (const key of await admin.keys('*{budget}*'))
      expect([key, (await admin.pttl(key)) < 3 * HOUR_SECONDS * 1000]).toEqual([key, true]);
  });
});

describe('the end of a shortened closing', () => {
  /** One of 42 in two minutes. */
  const PACE_MS = 120_000 / 42;

  it('allows one read of all replicas, then the others evenly', async () => {
    const [upstream, redis] = [await startUpstream({ unknownJobs: 'make' }), await startRedis()];
    const env = {
      UPSTREAM_LIMITS: '60/2m',
      PATIENCE: '1m',
      LONGEST_CLOSING: '2s',
      REDIS_URL: redis.url,
      REPLICAS: '2',
    };
    const [one, other] = await Promise.all([
      startGateway({ upstream, env }),
      startGateway({ upstream, env }),
    ]);
    await Promise.all([untilRedisIs('up', one), untilRedisIs('up', other)]);
    upstream.fault({ kind: 'too-many', retryAfter: epochSeconds }, { times: 1 });
    const first = readJob(one, jobIds(1)[0]!);
    await until('both know', async () => {
      const closed = [one, other].map((gateway) => metric(gateway, 'gateway_paused_seconds'));
      return (await Promise.all(closed)).every((seconds) => seconds > 0);
    });
    const others = [one, other].map((gateway) => readJob(gateway, jobIds(1)[0]!));
    const seen = await Promise.all([first, ...others]);
    expect(seen.map(({ status }) => status)).toEqual([200, 200, 200]);
    const [refused = 0, trial = 0, ...later] = upstream.calls.map(({ at }) => at);
    expect(trial - refused).toBeGreaterThanOrEqual(2000);
    // 42 in 2 min are one in 2.9 s: without credit, the trial would be as much later.
    expect(trial - refused).toBeLessThan(2000 + PACE_MS);
    for (const [index, at] of later.entries()) expect(at - trial).toBeGreaterThan((index + 0.7) * PACE_MS);
    expect(later).toHaveLength(2);
    const { closedMs } = await one.logged(({ msg }) => msg === 'gate opened');
    expect(Number(closedMs)).toBeGreaterThanOrEqual(2000);
    expect(linesOf(one, 'limit lowered')).toMatchObject([{ window: '2m', share: 0.7, limit: 42 }]);
    expect(await metric(other, 'gateway_limit_share', { window: '2m' })).toBeCloseTo(0.7, 5);
  });
});

/** A time in the year 2083, in milliseconds since 1970. */
const FAR = 3.59e12;
const states: [string, (now: number) => Record<string, string | number>][] = [
  ['is closed until 2083', (now) => ({ advancedTo: now, closedUntil: FAR })],
  [
    'was closed until 2083 and says that it was advanced to then',
    () => ({ advancedTo: FAR, closedUntil: FAR }),
  ],
  ['holds no numbers', () => ({ advancedTo: 'garbage', closedUntil: 'garbage', dueAt: 'garbage' })],
];

describe('a state in Redis that an older gateway wrote, and that', () => {
  it.each(states)('%s closes nobody for longer than LONGEST_CLOSING', async (_, fields) => {
    const [upstream, redis] = [await startUpstream({ unknownJobs: 'make' }), await startRedis()];
    const admin = new Redis(redis.url);
    atEnd(async () => admin.disconnect());
    const prefix = `${keyPrefix(upstream.url, upstream.settings.clientId)}{budget}:`;
    const now = Date.now();
    const perWindow = ['1m', '1h'].flatMap((name) => [
      [`credit:${name}`, 0],
      [`accruedTo:${name}`, FAR],
      [`share:${name}`, 0.7],
      [`recoversAt:${name}`, FAR],
    ]);
    const common = { version: 'old 1', dueAt: FAR, ...(Object.fromEntries(perWindow) as object) };
    await admin.hset(`${prefix}state`, { ...common, ...fields(now) });
    await admin.zadd(`${prefix}sends`, now - 1000, 'old:0');
    await admin.hset(`${prefix}replicas`, 'old', `${now} 0`);
    for (const name of ['state', 'sends', 'replicas']) await admin.pexpire(prefix + name, 1.79e12);

    const env = { ...LIMITS, PATIENCE: '5s', REDIS_URL: redis.url, REPLICAS: '2' };
    const gateways = await Promise.all([startGateway({ upstream, env }), startGateway({ upstream, env })]);
    await Promise.all(gateways.map((gateway) => untilRedisIs('up', gateway)));
    for (const gateway of gateways) {
      const seen = await readJob(gateway, jobIds(1)[0]!);
      expect([200, 429]).toContain(seen.status);
      expect(Number(seen.headers['retry-after'] ?? 1)).toBeLessThanOrEqual(HOUR_SECONDS + 1);
      expect(seen.status).toBe(fields(now)['advancedTo'] === now ? 429 : 200);
      expect(await tookMs('/health/live', gateway)).toBeLessThan(LONGEST_MS);
    }
    for (const key of await admin.keys(`${prefix}*`))
      expect([key, (await admin.pttl(key)) < 3 * HOUR_SECONDS * 1000]).toEqual([key, true]);
  });
});
