import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { BudgetStore } from '../../src/budget/budget-store.ts';
import { Gate } from '../../src/budget/gate.ts';
import { Ledger } from '../../src/budget/ledger.ts';
import { SharedBudget } from '../../src/budget/shared-budget.ts';
import { spreadWindows } from '../../src/budget/window.ts';
import { waitMsOf } from '../support/budget.ts';
import { RedisServer } from '../support/redis.ts';

const HOUR = 3_600_000;
/** A time in the year 2083, in milliseconds since 1970. */
const FAR = 3.59e12;
const LIMITS = [
  { name: '1m', limit: 500, windowMs: 60_000 },
  { name: '1h', limit: 5000, windowMs: HOUR },
];
const [STATE, SENDS, REPLICAS] = ['p:{budget}:state', 'p:{budget}:sends', 'p:{budget}:replicas'] as const;

const rig = {} as { server: RedisServer; redis: Redis };
beforeAll(async () => {
  rig.server = await RedisServer.start();
  rig.redis = new Redis(rig.server.url);
});
beforeEach(async () => {
  await rig.redis.flushall();
});
afterAll(async () => {
  rig.redis.disconnect();
  await rig.server.kill();
});

function replica(name: string, longestClosingMs = HOUR, onOtherLimits?: (limits: readonly string[]) => void) {
  const windows = spreadWindows(LIMITS, 40);
  const gate = new Gate({ longestClosingMs });
  const store = new BudgetStore(rig.redis, { keyPrefix: 'p:', windows, replica: name, longestClosingMs });
  const ledger = new Ledger(windows.map(({ limit, window: { spanMs } }) => ({ limit, spanMs })));
  const options = { store, windows, ledger, gate, latenessMs: 20, onOtherLimits };
  return { gate, budget: new SharedBudget(options) };
}

/** Writes the state that a version without `LONGEST_CLOSING` left after one `Retry-After: 1795582882`. */
async function writeUnbounded(
  fields: Readonly<Record<string, string | number | Buffer>> = {},
): Promise<void> {
  const now = Date.now();
  const perWindow = LIMITS.flatMap(({ name, windowMs }) => [
    [`credit:${name}`, 0],
    [`accruedTo:${name}`, FAR],
    [`share:${name}`, 0.7],
    [`recoversAt:${name}`, FAR + windowMs],
  ]);
  const common = {
    version: 'old 1',
    advancedTo: now,
    closedUntil: FAR,
    'keptFor:1': 70_000,
    'keptFor:2': HOUR * 1.005,
  };
  await rig.redis.hset(STATE, { ...common, ...(Object.fromEntries(perWindow) as object), ...fields });
  await rig.redis.zadd(SENDS, now - 1000, 'old:0');
  await rig.redis.hset(REPLICAS, 'old', `${now} 5 500/1m`);
  for (const key of [STATE, SENDS, REPLICAS]) await rig.redis.pexpire(key, 1.79e12);
}

describe('a state in Redis that is closed until 2083', () => {
  it('is shortened once, to LONGEST_CLOSING from the first request', async () => {
    await writeUnbounded();
    const { budget } = replica('one');
    await budget.sync(0);
    const healed = Number(await rig.redis.hget(STATE, 'closedUntil'));
    expect(Math.abs(healed - Date.now() - HOUR)).toBeLessThan(10_000);
    await budget.sync(0);
    await replica('other').budget.sync(0);
    expect(Number(await rig.redis.hget(STATE, 'closedUntil'))).toBe(healed);
  });

  it('is corrected by the first request of any kind, with all times and TTLs', async () => {
    await writeUnbounded();
    const { budget } = replica('one');
    expect(waitMsOf(await budget.tryAcquire(1))).toBeLessThanOrEqual(HOUR);
    const state = await rig.redis.hgetall(STATE);
    for (const [field, value] of Object.entries(state)) {
      if (/^(accruedTo|recoversAt|closedUntil|advancedTo)/.test(field))
        expect([field, Number(value) <= Date.now() + HOUR + 300_000]).toEqual([field, true]);
    }
    for (const key of [STATE, SENDS, REPLICAS])
      expect([key, (await rig.redis.pttl(key)) < 3 * HOUR]).toEqual([key, true]);
  });

  it('cannot be written any more: the script shortens closings', async () => {
    const { budget } = replica('one');
    await budget.close(FAR);
    await budget.onRateLimited({ closeMs: FAR, extendMs: FAR, window: 0 });
    expect(Number(await rig.redis.hget(STATE, 'closedUntil'))).toBeLessThanOrEqual(Date.now() + HOUR + 1000);
    expect(await rig.redis.pttl(STATE)).toBeLessThan(3 * HOUR);
  });

  it('opens after LONGEST_CLOSING: one call is allowed at once, then the pace is even', async () => {
    await writeUnbounded();
    const { budget, gate } = replica('one', 200);
    await budget.sync(0);
    expect(gate.closedMs()).toBeLessThanOrEqual(200);
    for (
      let grant = await budget.tryAcquire(1);
      grant.permits.length === 0;
      grant = await budget.tryAcquire(1)
    ) {
      expect(grant.waitMs).toBeLessThanOrEqual(200);
      await delay(Math.ceil(grant.waitMs));
    }
    // 70 % of 5000 an hour.
    expect(waitMsOf(await budget.tryAcquire(1))).toBeGreaterThan(500);
  });
});

const now = Date.now();
const invalid: [string, Readonly<Record<string, string | number | Buffer>>][] = [
  ['advancedTo far ahead', { advancedTo: FAR }],
  ['advancedTo that is no number', { advancedTo: 'garbage' }],
  ['advancedTo that is not a number', { advancedTo: 'nan' }],
  ['advancedTo in the past', { advancedTo: 1 }],
  ['keptFor and keptAt far ahead', { 'keptFor:1': FAR, 'keptAt:1': FAR, 'keptFor:4': FAR }],
  ['keptFor that is no number', { 'keptFor:1': 'nan', 'keptAt:1': 'garbage' }],
  ['accruedTo far ahead', { 'accruedTo:1m': FAR, 'accruedTo:1h': FAR }],
  ['accruedTo without end', { 'accruedTo:1m': 'inf' }],
  ['credit of minus a quadrillion', { 'credit:1m': -1e15 }],
  ['credit of a quadrillion', { 'credit:1m': 1e15, 'credit:1h': 1e15 }],
  ['shares that no limit has', { 'share:1m': -1e9, 'share:1h': 1e9 }],
  ['recoversAt long ago', { 'share:1m': 0.05, 'recoversAt:1m': 1, 'share:1h': 0.05, 'recoversAt:1h': 1 }],
  ['recoversAt far ahead', { 'share:1m': 0.7, 'recoversAt:1m': FAR }],
  ['no version', { version: '' }],
  ['a version that is not UTF-8', { version: Buffer.from([0xff]) }],
  ['a version that is longer than any', { version: `${'old'.repeat(30)} 1` }],
];

describe('a state in Redis with', () => {
  it.each(invalid)('%s is used again within two minutes', async (_, fields) => {
    const sane = { closedUntil: 0, 'accruedTo:1m': now, 'accruedTo:1h': now };
    await writeUnbounded({ ...sane, ...fields });
    const { budget } = replica('one');
    const waitMs = waitMsOf(await budget.tryAcquire(1));
    // The longest wait is a debt of a whole window, paid back evenly.
    expect(waitMs).toBeLessThanOrEqual(120_000);
    expect(budget.forecastMs(1)).toBeLessThanOrEqual(120_000);
    const state = await rig.redis.hgetall(STATE);
    expect(state['version']).toMatch(/^(old|one) \d[\d.]*$/);
    for (const { name, limit } of LIMITS) {
      const [credit, share] = [Number(state[`credit:${name}`]), Number(state[`share:${name}`])];
      expect([name, Math.abs(credit) <= limit, share >= 0.05 && share <= 1]).toEqual([name, true, true]);
    }
    // No more than a burst is allowed, plus what accrues meanwhile and is granted ahead.
    const since = performance.now();
    let sent = 0;
    while (sent < 600 && waitMsOf(await budget.tryAcquire(1)) === 0) sent++;
    const accrued = ((performance.now() - since) * 500) / 60_000;
    expect(sent).toBeLessThanOrEqual(260 + Math.ceil(accrued));
  });

  it('sends in the future drops them', async () => {
    await writeUnbounded({ closedUntil: 0, 'accruedTo:1m': now, 'accruedTo:1h': now });
    await rig.redis.zadd(SENDS, FAR, 'old:1', 'inf', 'old:2', Date.now() + 1e6, 'old:3');
    const { budget } = replica('one');
    await budget.tryAcquire(1);
    const left = await rig.redis.zrange(SENDS, '0', '-1');
    expect(left.filter((id) => id !== 'one:0')).toEqual(['old:0']);
    expect(budget.windows().every((window) => window.count <= 2 * 4)).toBe(true);
  });

  it('invalid announcements of replicas drops them', async () => {
    await writeUnbounded();
    await rig.redis.hset(REPLICAS, { a: 'garbage 5', b: `${FAR} 5`, c: 'nan 7', d: '', e: `${now} -5` });
    const { budget } = replica('one');
    await budget.sync(0);
    expect(Object.keys(await rig.redis.hgetall(REPLICAS)).toSorted()).toEqual(['old', 'one']);
  });

  it('replicas whose numbers or limits none can have written takes them for nothing', async () => {
    const told: (readonly string[])[] = [];
    const { budget } = replica('one', HOUR, (limits) => told.push(limits));
    await budget.sync(0);
    await rig.redis.hset(REPLICAS, {
      infinite: `${Date.now()} ${'9'.repeat(400)} 500/1m`,
      many: `${Date.now()} 1234567 500/1m`,
      none: `${Date.now()} 5 x`,
      long: `${Date.now()} 5 ${'20/2s,'.repeat(50)}20/2s`,
      real: `${Date.now()} 5 20/2s,40/1.5m`,
    });
    await budget.sync(0);
    expect(told).toEqual([['20/2s,40/1.5m']]);
    expect((await rig.redis.hkeys(REPLICAS)).toSorted()).toEqual(['one', 'real']);
  });
});
