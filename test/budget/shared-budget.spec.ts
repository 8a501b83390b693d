import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { budgetScript } from '../../src/budget/budget-script.ts';
import { BudgetStore, sendsKey } from '../../src/budget/budget-store.ts';
import { Gate } from '../../src/budget/gate.ts';
import { Ledger } from '../../src/budget/ledger.ts';
import { toleratedLatenessMs } from '../../src/budget/granted-permit.ts';
import { refusingWindow } from '../../src/budget/limit-share.ts';
import { LocalBudget, type NamedWindow } from '../../src/budget/local-budget.ts';
import { BLOCK_SIZES, blockSizeIndex } from '../../src/budget/send-blocks.ts';
import { SharedBudget } from '../../src/budget/shared-budget.ts';
import { type NamedLimit, spreadWindows } from '../../src/budget/window.ts';
import { waitMsOf } from '../support/budget.ts';
import { RedisServer } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

jest.setTimeout(60_000);

const rig = {} as { server: RedisServer; redis: Redis };
const KEYS = ['state', 'replicas', ...BLOCK_SIZES.map(sendsKey)].map((name) => `p:{budget}:${name}`);
const [STATE, , SENDS] = KEYS as [string, string, string];

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

/** A replica's share in the budget, as a gateway has it. */
function replica(
  name: string,
  limits: readonly NamedLimit[],
  marginMs = 40,
  store?: Pick<BudgetStore, 'run' | 'replica'>,
): SharedBudget {
  const windows = spreadWindows(limits, marginMs);
  return new SharedBudget({
    store: store ?? storeOf(name, windows),
    windows,
    ledger: new Ledger(windows.map(({ limit, window: { spanMs } }) => ({ limit, spanMs }))),
    gate: new Gate(),
    latenessMs: toleratedLatenessMs(marginMs),
  });
}

function storeOf(name: string, windows: readonly NamedWindow[], longestClosingMs = 3_600_000): BudgetStore {
  return new BudgetStore(rig.redis, { keyPrefix: 'p:', windows, replica: name, longestClosingMs });
}

type Run = BudgetStore['run'];

/** A replica whose requests go through something that may lose, hold or count them. */
function through(
  name: string,
  limits: readonly NamedLimit[],
  wrap: (request: Parameters<Run>, run: Run) => ReturnType<Run>,
): SharedBudget {
  const store = storeOf(name, spreadWindows(limits, 40));
  const run: Run = (...request) => store.run(...request);
  return replica(name, limits, 40, { replica: name, run: (...request) => wrap(request, run) });
}

/** Asks until `count` were let go, sleeping as told; how often it was let go before the time was over. */
async function sendFor(budget: SharedBudget, forMs: number): Promise<number> {
  const end = performance.now() + forMs;
  let sent = 0;
  while (performance.now() < end) {
    const grant = await budget.tryAcquire(1);
    await new Promise((resolve) => setTimeout(resolve, Math.ceil(waitMsOf(grant))));
    if (grant.permits.length > 0) sent++;
  }
  return sent;
}

/** When each send was counted, oldest first. */
async function counted(): Promise<number[]> {
  const flat = await rig.redis.zrange(SENDS, '0', '-1', 'WITHSCORES');
  return flat.filter((_, index) => index % 2 === 1).map(Number);
}

function mostIn(times: readonly number[], windowMs: number): number {
  return Math.max(0, ...times.map((at) => times.filter((time) => time > at - windowMs && time <= at).length));
}

describe('the arithmetic in Redis', () => {
  const clock = "local time = call('TIME')";
  /** On the test's clock instead of Redis' own. */
  const script = budgetScript.replace(
    clock,
    'local time = { 1700000000 + math.floor(ARGV[2] / 1000), (ARGV[2] % 1000) * 1000 }',
  );

  it('is that of one process, at any moments, closings and refusals included', async () => {
    expect(budgetScript).toContain(clock);
    const event = fc.record({
      step: fc.oneof({ weight: 3, arbitrary: fc.nat(60) }, { weight: 1, arbitrary: fc.nat(1500) }),
      what: fc.constantFrom(
        'ask',
        'ask',
        'ask',
        'ask',
        'ask',
        'ask',
        'ask',
        'close',
        'refused',
        'unexplained',
      ),
    });
    const limits = fc.constantFrom<NamedLimit[]>(
      [{ name: '1s', limit: 20, windowMs: 1000 }],
      [
        { name: '1s', limit: 10, windowMs: 1000 },
        { name: '5s', limit: 24, windowMs: 5000 },
      ],
    );
    const property = fc.asyncProperty(limits, fc.array(event, { maxLength: 150 }), agrees);
    // A send leaves between the moment that the windows have come to and the next request.
    const steps = [0, 840, 21, 42, 22, 42, 38];
    const leaving = steps.map((step) => ({ step, what: 'ask' as const }));
    // The gate opens at the end of what is granted ahead.
    const opening = [
      { step: 50, what: 'refused' as const },
      { step: 1, what: 'ask' as const },
    ];
    const limit = { name: '1s', limit: 20, windowMs: 1000 };
    await fc.assert(property, {
      numRuns: 40,
      examples: [
        [[limit], leaving],
        [[limit], opening],
      ],
    });
  });

  async function agrees(
    limits: NamedLimit[],
    events: readonly { step: number; what: string }[],
  ): Promise<void> {
    await rig.redis.flushall();
    const clock = new VirtualClock();
    const windows = spreadWindows(limits, 0);
    const gate = new Gate({ clock, random: () => 1 });
    const local = new LocalBudget({ windows, gate, latenessMs: 20, clock });
    const shared = store(windows, clock);
    await shared({
      op: 'tell',
      sends: [],
      isLast: true,
      added: 0,
      closedMs: 0,
      shares: limits.map(() => 1),
      fresh: true,
    });
    let id = 0;
    for (const { step, what } of events) {
      await clock.advance(step);
      if (what === 'ask') {
        const count = 1 + (step % 4);
        const { permits, waitMs } = await local.tryAcquire(count);
        const expected = permits.map(({ at }) => at - clock.now());
        const sends = Array.from({ length: count }, (_, index) => `${id + index}`);
        const { moments, wait } = await shared({ op: 'ask', sends, lead: 0, horizon: 50 });
        id += expected.length;
        expect(moments ?? []).toHaveLength(expected.length);
        expected.forEach((moment, index) => expect(moments?.[index]).toBeCloseTo(moment, 1));
        expect(wait).toBeCloseTo(waitMs, 1);
      } else if (what === 'close') {
        local.close(step);
        await shared({ op: 'close', forMs: step, shares: limits.map(() => 1) });
      } else {
        const explained = what === 'refused';
        const wasClosed = gate.closedMs() > 0;
        local.onRateLimited(explained ? step + 1 : undefined);
        // The pause after a refusal that does not say for how long grows from one to the next.
        const forMs = explained ? step + 1 : wasClosed ? 0 : gate.closedMs();
        const cuts = refusingWindow(windows, explained ? forMs : undefined)?.name;
        await shared({ op: 'refused', forMs, explained, cuts });
      }
    }
  }

  function store(windows: ReturnType<typeof spreadWindows<NamedLimit>>, clock: VirtualClock) {
    let version: string | undefined;
    const sizes = windows.map(({ name, window: { fullLimit, spanMs, burst } }) => ({
      name,
      limit: fullLimit,
      span: spanMs,
      burst,
      set: blockSizeIndex(fullLimit) + 1,
    }));
    return async (operation: object): Promise<{ wait: number; moments?: number[] }> => {
      const constants = {
        replica: 'one',
        longestClosing: 3_600_000,
        longestSpan: 3e9,
        blocks: BLOCK_SIZES,
        limits: 'none',
        windows: sizes,
      };
      const request = JSON.stringify({ ...operation, version, ...constants });
      const text = (await rig.redis.eval(script, KEYS.length, ...KEYS, request, clock.now())) as string;
      const reply = JSON.parse(text) as { version: string; wait: number; moments?: number[] };
      version = reply.version;
      return reply;
    };
  }
});

describe('a shared budget', () => {
  const LIMITS = [{ name: '1s', limit: 50, windowMs: 1000 }];

  it('is one for all: three askers together stay within the limit and use it', async () => {
    const budgets = ['a', 'b', 'c'].map((name) => replica(name, LIMITS));
    const sent = await Promise.all(budgets.map((budget) => sendFor(budget, 3000)));
    const total = sent.reduce((sum, count) => sum + count, 0);
    const allowed = 25 + (50 / 1.04) * 3;
    expect(total).toBeGreaterThan(0.7 * (50 / 1.04) * 3);
    expect(total).toBeLessThanOrEqual(Math.ceil(allowed));
    expect(mostIn(await counted(), 1000)).toBeLessThanOrEqual(50);
  });

  it('is rebuilt by the next to ask when it is flushed: nothing that anyone sent is forgotten, and there is no credit', async () => {
    const limits = [{ name: '10s', limit: 40, windowMs: 10_000 }];
    const [one, other] = [replica('one', limits), replica('other', limits)];
    for (let sends = 0; sends < 10; sends++) {
      const granted = [await one.tryAcquire(1), await other.tryAcquire(1)];
      expect(granted.map(({ permits }) => permits.length)).toEqual([1, 1]);
    }
    // It knows of the others' sends from their common store.
    await one.sync(0);
    const before = await counted();
    await rig.redis.flushall();
    expect(waitMsOf(await one.tryAcquire(1))).toBeGreaterThan(0);
    const rebuilt = await counted();
    expect(rebuilt).toHaveLength(20);
    rebuilt.forEach((at, index) => {
      expect(Math.abs(at - (before[index] ?? 0))).toBeLessThan(50);
    });
    expect(waitMsOf(await other.tryAcquire(1))).toBeGreaterThan(0);
    expect(await counted()).toHaveLength(20);
  });

  it('is told what a store has lost that has kept the rest', async () => {
    const limits = [{ name: '10s', limit: 40, windowMs: 10_000 }];
    const one = replica('one', limits);
    for (const permit of (await one.tryAcquire(5)).permits) permit.sent();
    await rig.redis.zrem(SENDS, 'one:4', 'one:3');
    await one.tryAcquire(1);
    expect(await rig.redis.zrange(SENDS, '0', '4')).toEqual(['one:0', 'one:1', 'one:2', 'one:3', 'one:4']);
  });

  it('is told what it has lost of permits in hand, and grants their moments to nobody else', async () => {
    const limits = [{ name: '10s', limit: 40, windowMs: 10_000 }];
    const operations: string[] = [];
    const one = through('one', limits, (request, run) => {
      operations.push(request[1].op);
      return run(...request);
    });
    const { permits } = await one.tryAcquire(3);
    permits[0]!.sent();
    await rig.redis.zrem(SENDS, 'one:1', 'one:2');
    await one.tryAcquire(1);
    expect(await rig.redis.zrange(SENDS, '0', '3')).toEqual(['one:0', 'one:1', 'one:2']);
    // One that is given back is not missed.
    permits[2]!.giveBack();
    permits[0]!.giveBack();
    operations.length = 0;
    await one.sync(0);
    await one.sync(0);
    expect(operations).not.toContain('tell');
    expect(await rig.redis.zrange(SENDS, '0', '3')).toEqual(['one:0', 'one:1']);
  });

  it('is told that a block has a later send than the one that a store knows', async () => {
    const [one, other] = ['one', 'other'].map((name) =>
      replica(name, [{ name: '1m', limit: 5000, windowMs: 60_000 }]),
    ) as [SharedBudget, SharedBudget];
    await one.tryAcquire(2);
    await other.sync(0);
    const [, score] = await rig.redis.zrange('p:{budget}:sends:4', '0', '0', 'WITHSCORES');
    await rig.redis.zadd('p:{budget}:sends:4', Number(score) - 30_000, 'one:0');
    await one.sync(0);
    const told = await rig.redis.zscore('p:{budget}:sends:4', 'one:0');
    expect(Math.abs(Number(told) - Number(score))).toBeLessThan(50);
    expect(Number(await rig.redis.hget(STATE, 'completions'))).toBe(1);
    await other.sync(0);
    expect(other.windows()[0]?.count).toBe(4);
  });

  it('counts nothing for an ask whose answer was lost, from the next request on', async () => {
    const limits = [{ name: '10s', limit: 40, windowMs: 10_000 }];
    let isLost = false;
    const one = through('one', limits, async (request, run) => {
      const reply = await run(...request);
      if (isLost) throw new Error('Command timed out');
      return reply;
    });
    await one.sync(0);
    isLost = true;
    await expect(one.tryAcquire(3)).rejects.toThrow('timed out');
    expect(await counted()).toHaveLength(3);
    isLost = false;
    expect((await one.tryAcquire(1)).permits).toHaveLength(1);
    expect(await rig.redis.zrange(SENDS, '0', '-1')).toEqual(['one:3']);
  });

  it('is not known before the last part is told: one that was lost is told again', async () => {
    const limits = [{ name: '10m', limit: 4000, windowMs: 600_000 }];
    let tells = 0;
    const one = through('one', limits, async (request, run) => {
      // The second part.
      if (request[1].op === 'tell' && ++tells === 2) throw new Error('Command timed out');
      return run(...request);
    });
    await one.sync(0);
    tells = 0;
    let granted = 0;
    for (let turn = 0; turn < 10; turn++) granted += (await one.tryAcquire(64)).permits.length;
    await rig.redis.flushall();
    const other = replica('other', limits);
    await other.sync(0);
    tells = 0;
    await expect(one.tryAcquire(1)).rejects.toThrow('timed out');
    await one.tryAcquire(1);
    expect(await rig.redis.zcard(SENDS)).toBeGreaterThanOrEqual(granted);
  });

  it('gives no two sends one time: who has heard of the first would not hear of the second', async () => {
    const [one, other] = [replica('one', LIMITS), replica('other', LIMITS)];
    const granted = [...(await one.tryAcquire(10)).permits, ...(await other.tryAcquire(10)).permits];
    expect(new Set(await counted()).size).toBe(granted.length);
    await one.sync(0);
    expect(one.windows()[0]?.count).toBe(granted.length);
  });

  it('gives no two told sends one time either', async () => {
    const [one, other] = [replica('one', LIMITS), replica('other', LIMITS)];
    await Promise.all([one.sync(0), other.sync(0)]);
    // Moments have been granted ahead: all that is told lies at their end.
    await rig.redis.hset(STATE, 'advancedTo', Date.now() + 900);
    for (let sends = 1; sends <= 3; sends++) {
      one.recordSend(performance.now());
      await one.recordNewest();
      await other.sync(0);
      expect(other.windows()[0]?.count).toBe(sends);
    }
    expect(new Set(await counted()).size).toBe(3);
    await rig.redis.flushall();
    await other.sync(0);
    one.recordSend(performance.now());
    await one.recordNewest();
    await other.sync(0);
    expect(new Set(await counted()).size).toBe(4);
    expect(other.windows()[0]?.count).toBe(4);
  });

  it('counts no permit that is given back', async () => {
    const one = replica('one', [{ name: '10s', limit: 40, windowMs: 10_000 }]);
    const { permits } = await one.tryAcquire(3);
    permits[0]!.sent();
    permits[1]!.giveBack();
    permits[2]!.giveBack();
    await one.sync(0);
    expect(await rig.redis.zrange(SENDS, '0', '-1')).toEqual(['one:0']);
    expect(one.windows()[0]?.remaining(performance.now())).toBe(39);
  });

  it('uses the places of permits that were given back, and of lost answers, where blocks count', async () => {
    const limits = [
      { name: '1m', limit: 4000, windowMs: 60_000 },
      { name: '1h', limit: 5000, windowMs: 3_600_000 },
    ];
    const blocks = 'p:{budget}:sends:4';
    let isLost = false;
    const requests: Parameters<Run>[] = [];
    const one = through('one', limits, async (request, run) => {
      requests.push(request);
      const reply = await run(...request);
      if (isLost) throw new Error('Command timed out');
      return reply;
    });
    for (const permit of (await one.tryAcquire(8)).permits) permit.giveBack();
    await one.sync(0);
    expect((await one.tryAcquire(8)).permits).toHaveLength(8);
    expect([await rig.redis.zcard(SENDS), await rig.redis.zcard(blocks)]).toEqual([8, 2]);
    isLost = true;
    await expect(one.tryAcquire(64)).rejects.toThrow('timed out');
    isLost = false;
    await one.sync(0);
    expect((await one.tryAcquire(64)).permits).toHaveLength(64);
    expect([await rig.redis.zcard(SENDS), await rig.redis.zcard(blocks)]).toEqual([72, 18]);
    expect(one.windows().map((window) => window.count)).toEqual([72, 72]);
    // A request that gave them back arrives once more, late.
    const names = await rig.redis.zrange(SENDS, '0', '-1');
    const store = storeOf('one', spreadWindows(limits, 40));
    for (const [knowledge] of requests) await store.run(knowledge, { op: 'look', waiting: 0 });
    expect(await rig.redis.zrange(SENDS, '0', '-1')).toEqual(names);
  });

  it('does not count a permit that was given back while an answer with it was under way', async () => {
    const limits = [{ name: '10s', limit: 40, windowMs: 10_000 }];
    const one = through('one', limits, async (request, run) => {
      const reply = await run(...request);
      if (request[1].op === 'look') await delay(50);
      return reply;
    });
    await one.sync(0);
    // Both say up to where the sends are known: neither has heard of this one.
    const [asked, looked] = [one.tryAcquire(1), one.sync(0)];
    for (const permit of (await asked).permits) permit.giveBack();
    await looked;
    expect(one.windows()[0]?.count).toBe(0);
    await one.sync(0);
    expect(await counted()).toEqual([]);
  });

  it('closes its gate for all, keeps it closed when it is rebuilt, and cuts once a closing', async () => {
    const limits = [{ name: '1s', limit: 40, windowMs: 1000 }];
    const [one, other] = [replica('one', limits), replica('other', limits)];
    await Promise.all([one.sync(0), other.sync(0)]);
    await one.onRateLimited(5000, 5000);
    await other.onRateLimited(5000, 5000);
    expect(waitMsOf(await other.tryAcquire(1))).toBeGreaterThan(4000);
    await rig.redis.flushall();
    expect(waitMsOf(await other.tryAcquire(1))).toBeGreaterThan(4000);
    expect(waitMsOf(await one.tryAcquire(1))).toBeGreaterThan(4000);
    expect(other.shares).toEqual([0.7]);
  });

  it('takes the times of a server whose clock is behind for another state, instead of waiting for them', async () => {
    const one = replica('one', LIMITS);
    await one.tryAcquire(1);
    const later = Date.now() + 3_600_000;
    await rig.redis.hset(STATE, 'advancedTo', later, 'accruedTo:1s', later);
    expect(await sendFor(one, 1000)).toBeGreaterThan(25);
  });

  it('lets one call go at the end of a closing, of all that ask at once, and the others evenly', async () => {
    const limits = [{ name: '1m', limit: 60, windowMs: 60_000 }];
    const all = ['a', 'b', 'c'].map((name) => replica(name, limits));
    await Promise.all(all.map((budget) => budget.sync(0)));
    await all[0]!.close(300);
    await until(
      'it is open',
      async () => (await all[1]!.tryAcquire(1)).permits.length > 0 || all[1]!.storeClosedMs() === 0,
    );
    const waits = (await Promise.all([...all, ...all].map((budget) => budget.tryAcquire(1)))).map((grant) =>
      waitMsOf(grant),
    );
    expect((await counted()).length).toBe(1);
    // One in a second and a little.
    for (const waitMs of waits.filter((waitMs) => waitMs > 0)) expect(waitMs).toBeGreaterThan(500);
  });

  it('throws away what is none of its own', async () => {
    const one = replica('one', LIMITS);
    await rig.redis.set(STATE, 'garbage');
    await expect(one.tryAcquire(1)).rejects.toThrow('WRONGTYPE');
    expect(waitMsOf(await one.tryAcquire(1))).toBe(0);
  });

  it('knows how many wait at the others, and forecasts in turns with them', async () => {
    const [one, other] = [replica('one', LIMITS), replica('other', LIMITS)];
    await other.sync(100);
    await one.sync(0);
    const alone = replica('alone', LIMITS);
    expect(one.forecastMs(30)).toBeGreaterThan(alone.forecastMs(30));
    await other.sync(0);
    await one.sync(0);
    expect(one.forecastMs(30)).toBeLessThanOrEqual(alone.forecastMs(30) + 1);
  });

  it('cuts the window alone that a refusal speaks of, for all', async () => {
    const limits = [
      { name: '1s', limit: 40, windowMs: 1000 },
      { name: '1h', limit: 4000, windowMs: 3_600_000 },
    ];
    const [one, other] = [replica('one', limits), replica('other', limits)];
    await other.sync(0);
    await one.onRateLimited(1000, 1000);
    await other.sync(0);
    expect(other.shares).toEqual([0.7, 1]);
    await rig.redis.flushall();
    const [later, last] = [replica('later', limits), replica('last', limits)];
    await later.onRateLimited(2000, 2000);
    await last.sync(0);
    expect(last.shares).toEqual([1, 0.7]);
    // It recovers from the end of the closing on, a step every five minutes.
    const [closedUntil, recoversAt] = await rig.redis.hmget(STATE, 'closedUntil', 'recoversAt:1h');
    expect(Number(recoversAt) - Number(closedUntil)).toBeCloseTo(300_000, 0);
  });

  it('leaves nothing in Redis without an end', async () => {
    const one = replica('one', LIMITS);
    await one.tryAcquire(1);
    await one.sync(3);
    for (const key of await rig.redis.keys('*')) expect(await rig.redis.pttl(key)).toBeGreaterThan(0);
    expect(await rig.redis.keys('*')).toHaveLength(3);
  });
});
