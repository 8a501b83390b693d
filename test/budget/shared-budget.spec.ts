import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { budgetScript } from '../../src/budget/budget-script.ts';
import {
  BudgetStore,
  type Operation,
  type Reply,
  type ScriptClient,
  sendsKey,
} from '../../src/budget/budget-store.ts';
import { Gate } from '../../src/budget/gate.ts';
import { Ledger } from '../../src/budget/ledger.ts';
import { toleratedLatenessMs } from '../../src/budget/granted-permit.ts';
import { LocalBudget, type NamedWindow } from '../../src/budget/local-budget.ts';
import { rateLimitReaction } from '../../src/budget/rate-limit-policy.ts';
import { BLOCK_SIZES } from '../../src/budget/send-blocks.ts';
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

/** The shared budget of one replica, built as in a gateway. */
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

function storeOf(
  name: string,
  windows: readonly NamedWindow[],
  client: ScriptClient = rig.redis,
): BudgetStore {
  return new BudgetStore(client, { keyPrefix: 'p:', windows, replica: name, longestClosingMs: 3_600_000 });
}

type Run = BudgetStore['run'];

/** A replica whose requests go through `wrap`, which may lose, delay or record them. */
function wrapped(
  name: string,
  limits: readonly NamedLimit[],
  wrap: (request: Parameters<Run>, run: Run) => ReturnType<Run>,
): SharedBudget {
  const store = storeOf(name, spreadWindows(limits, 40));
  const run: Run = (...request) => store.run(...request);
  return replica(name, limits, 40, { replica: name, run: (...request) => wrap(request, run) });
}

/** Makes a replica react to a 429. */
function rateLimit(budget: SharedBudget, limits: readonly NamedLimit[], retryAfterMs: number): Promise<void> {
  return budget.onRateLimited(rateLimitReaction(spreadWindows(limits, 40), new Gate(), retryAfterMs));
}

/** Sends as fast as the budget allows. @returns the number of sends within the time */
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

/** Times of all counted sends, oldest first. */
async function counted(): Promise<number[]> {
  const flat = await rig.redis.zrange(SENDS, '0', '-1', 'WITHSCORES');
  return flat.filter((_, index) => index % 2 === 1).map(Number);
}

function mostIn(times: readonly number[], windowMs: number): number {
  return Math.max(0, ...times.map((at) => times.filter((time) => time > at - windowMs && time <= at).length));
}

describe('the window arithmetic in Redis', () => {
  const clock = "local time = call('TIME')";
  /** The script on the test's clock instead of Redis' own. */
  const script = budgetScript.replace(
    clock,
    'local time = { 1700000000 + math.floor(ARGV[2] / 1000), (ARGV[2] % 1000) * 1000 }',
  );

  it('grants the same send times as one process, including closings and 429s', async () => {
    expect(budgetScript).toContain(clock);
    const event = fc.record({
      step: fc.oneof({ weight: 3, arbitrary: fc.nat(60) }, { weight: 1, arbitrary: fc.nat(1500) }),
      what: fc.oneof(
        { weight: 7, arbitrary: fc.constant('acquire') },
        { weight: 3, arbitrary: fc.constantFrom('close', '429 with Retry-After', '429') },
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
    // A send leaves between the time that the windows have advanced to and the next request.
    const steps = [0, 840, 21, 42, 22, 42, 38];
    const leaving = steps.map((step) => ({ step, what: 'acquire' }));
    // The gate opens at the end of the granted send times.
    const opening = [
      { step: 50, what: '429 with Retry-After' },
      { step: 1, what: 'acquire' },
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
    const shared = storeAt(windows, clock);
    const shares = limits.map(() => 1);
    await shared({ op: 'merge', sends: [], isLast: true, added: 0, closedMs: 0, shares, mayBurst: true });
    let id = 0;
    for (const { step, what } of events) {
      await clock.advance(step);
      if (what === 'acquire') {
        const count = 1 + (step % 4);
        const { permits, waitMs } = await local.tryAcquire(count);
        const expected = permits.map(({ at }) => at - clock.now());
        const sends = Array.from({ length: count }, (_, index) => `${id + index}`);
        const { moments, wait } = await shared({ op: 'acquire', sends, lead: 0, horizon: 50 });
        id += expected.length;
        expect(moments).toHaveLength(expected.length);
        expected.forEach((moment, index) => expect(moments[index]).toBeCloseTo(moment, 1));
        expect(wait).toBeCloseTo(waitMs, 1);
      } else if (what === 'close') {
        local.close(step);
        await shared({ op: 'close', forMs: step, shares });
      } else {
        const retryAfterMs = what === '429' ? undefined : step + 1;
        const wasOpen = gate.closedMs() === 0;
        local.onRateLimited(retryAfterMs);
        const reaction = rateLimitReaction(windows, gate, retryAfterMs);
        // Without Retry-After the local budget has drawn a backoff, which grows with each.
        const closeMs = wasOpen ? gate.closedMs() : reaction.closeMs;
        await shared({ op: 'rateLimited', ...reaction, closeMs });
      }
    }
  }

  /** Runs operations as a replica that knows the latest state. */
  function storeAt(windows: readonly NamedWindow[], clock: VirtualClock) {
    const store = storeOf('one', windows, {
      defineCommand: () => undefined,
      del: () => Promise.resolve(0),
      jobsBudget: (...request: string[]) =>
        rig.redis.eval(script, KEYS.length, ...request, clock.now()) as Promise<string>,
    });
    let version: string | undefined;
    return async (operation: Operation): Promise<Reply> => {
      const reply = await store.run({ version, cursors: undefined, newest: undefined }, operation);
      version = reply.version;
      return reply;
    };
  }
});

describe('a shared budget', () => {
  const LIMITS = [{ name: '1s', limit: 50, windowMs: 1000 }];

  it('keeps three replicas together within the limit, and lets them use it', async () => {
    const budgets = ['a', 'b', 'c'].map((name) => replica(name, LIMITS));
    const sent = await Promise.all(budgets.map((budget) => sendFor(budget, 3000)));
    const total = sent.reduce((sum, count) => sum + count, 0);
    const allowed = 25 + (50 / 1.04) * 3;
    expect(total).toBeGreaterThan(0.7 * (50 / 1.04) * 3);
    expect(total).toBeLessThanOrEqual(Math.ceil(allowed));
    expect(mostIn(await counted(), 1000)).toBeLessThanOrEqual(50);
  });

  it('is rebuilt after a flush by the next request: with all sends, and without credit', async () => {
    const limits = [{ name: '10s', limit: 40, windowMs: 10_000 }];
    const [one, other] = [replica('one', limits), replica('other', limits)];
    for (let sends = 0; sends < 10; sends++) {
      const granted = [await one.tryAcquire(1), await other.tryAcquire(1)];
      expect(granted.map(({ permits }) => permits.length)).toEqual([1, 1]);
    }
    // Learns of the other replica's sends from the store.
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

  it('restores sends that the store has lost', async () => {
    const limits = [{ name: '10s', limit: 40, windowMs: 10_000 }];
    const one = replica('one', limits);
    for (const permit of (await one.tryAcquire(5)).permits) permit.sent();
    await rig.redis.zrem(SENDS, 'one:4', 'one:3');
    await one.tryAcquire(1);
    expect(await rig.redis.zrange(SENDS, '0', '4')).toEqual(['one:0', 'one:1', 'one:2', 'one:3', 'one:4']);
  });

  it('merges lost sends of permits in hand, and grants their times to nobody else', async () => {
    const limits = [{ name: '10s', limit: 40, windowMs: 10_000 }];
    const operations: string[] = [];
    const one = wrapped('one', limits, (request, run) => {
      operations.push(request[1].op);
      return run(...request);
    });
    const { permits } = await one.tryAcquire(3);
    permits[0]!.sent();
    await rig.redis.zrem(SENDS, 'one:1', 'one:2');
    await one.tryAcquire(1);
    expect(await rig.redis.zrange(SENDS, '0', '3')).toEqual(['one:0', 'one:1', 'one:2']);
    // A released permit is not missing.
    permits[2]!.release();
    permits[0]!.release();
    operations.length = 0;
    await one.sync(0);
    await one.sync(0);
    expect(operations).not.toContain('merge');
    expect(await rig.redis.zrange(SENDS, '0', '3')).toEqual(['one:0', 'one:1']);
  });

  it('merges a block that has a later send than the one in the store', async () => {
    const [one, other] = ['one', 'other'].map((name) =>
      replica(name, [{ name: '1m', limit: 5000, windowMs: 60_000 }]),
    ) as [SharedBudget, SharedBudget];
    await one.tryAcquire(2);
    await other.sync(0);
    const [, score] = await rig.redis.zrange('p:{budget}:sends:4', '0', '0', 'WITHSCORES');
    await rig.redis.zadd('p:{budget}:sends:4', Number(score) - 30_000, 'one:0');
    await one.sync(0);
    const merged = await rig.redis.zscore('p:{budget}:sends:4', 'one:0');
    expect(Math.abs(Number(merged) - Number(score))).toBeLessThan(50);
    expect(Number(await rig.redis.hget(STATE, 'completions'))).toBe(1);
    await other.sync(0);
    expect(other.windows()[0]?.count).toBe(4);
  });

  it('uncounts sends whose reply was lost, with the next request', async () => {
    const limits = [{ name: '10s', limit: 40, windowMs: 10_000 }];
    let isLost = false;
    const one = wrapped('one', limits, async (request, run) => {
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

  it('is known only after the last batch of a merge: a lost batch is merged again', async () => {
    const limits = [{ name: '10m', limit: 4000, windowMs: 600_000 }];
    let merges = 0;
    const one = wrapped('one', limits, async (request, run) => {
      // The second batch.
      if (request[1].op === 'merge' && ++merges === 2) throw new Error('Command timed out');
      return run(...request);
    });
    await one.sync(0);
    merges = 0;
    let granted = 0;
    for (let turn = 0; turn < 10; turn++) granted += (await one.tryAcquire(64)).permits.length;
    await rig.redis.flushall();
    const other = replica('other', limits);
    await other.sync(0);
    merges = 0;
    await expect(one.tryAcquire(1)).rejects.toThrow('timed out');
    await one.tryAcquire(1);
    expect(await rig.redis.zcard(SENDS)).toBeGreaterThanOrEqual(granted);
  });

  it('gives no two sends the same time, which would hide the second from other replicas', async () => {
    const [one, other] = [replica('one', LIMITS), replica('other', LIMITS)];
    const granted = [...(await one.tryAcquire(10)).permits, ...(await other.tryAcquire(10)).permits];
    expect(new Set(await counted()).size).toBe(granted.length);
    await one.sync(0);
    expect(one.windows()[0]?.count).toBe(granted.length);
  });

  it('gives no two recorded sends the same time either', async () => {
    const [one, other] = [replica('one', LIMITS), replica('other', LIMITS)];
    await Promise.all([one.sync(0), other.sync(0)]);
    // Sends have been granted ahead: recorded ones come after them.
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

  it('does not count released permits', async () => {
    const one = replica('one', [{ name: '10s', limit: 40, windowMs: 10_000 }]);
    const { permits } = await one.tryAcquire(3);
    permits[0]!.sent();
    permits[1]!.release();
    permits[2]!.release();
    await one.sync(0);
    expect(await rig.redis.zrange(SENDS, '0', '-1')).toEqual(['one:0']);
    expect(one.windows()[0]?.remaining(performance.now())).toBe(39);
  });

  it('reuses the places of released permits and of lost replies in blocks that count', async () => {
    const limits = [
      { name: '1m', limit: 4000, windowMs: 60_000 },
      { name: '1h', limit: 5000, windowMs: 3_600_000 },
    ];
    const blocks = 'p:{budget}:sends:4';
    let isLost = false;
    const requests: Parameters<Run>[] = [];
    const one = wrapped('one', limits, async (request, run) => {
      requests.push(request);
      const reply = await run(...request);
      if (isLost) throw new Error('Command timed out');
      return reply;
    });
    for (const permit of (await one.tryAcquire(8)).permits) permit.release();
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
    // A request that reports them as unused arrives once more, late.
    const names = await rig.redis.zrange(SENDS, '0', '-1');
    const store = storeOf('one', spreadWindows(limits, 40));
    for (const [knownState] of requests) await store.run(knownState, { op: 'sync', waiting: 0 });
    expect(await rig.redis.zrange(SENDS, '0', '-1')).toEqual(names);
  });

  it('does not count a permit that was released while a reply with it was under way', async () => {
    const limits = [{ name: '10s', limit: 40, windowMs: 10_000 }];
    const one = wrapped('one', limits, async (request, run) => {
      const reply = await run(...request);
      if (request[1].op === 'sync') await delay(50);
      return reply;
    });
    await one.sync(0);
    // The cursors of both requests are before this send.
    const [acquiring, syncing] = [one.tryAcquire(1), one.sync(0)];
    for (const permit of (await acquiring).permits) permit.release();
    await syncing;
    expect(one.windows()[0]?.count).toBe(0);
    await one.sync(0);
    expect(await counted()).toEqual([]);
  });

  it('closes the gate of all replicas, also across a flush, and decreases a limit once per closing', async () => {
    const limits = [{ name: '1s', limit: 40, windowMs: 1000 }];
    const [one, other] = [replica('one', limits), replica('other', limits)];
    await Promise.all([one.sync(0), other.sync(0)]);
    await rateLimit(one, limits, 5000);
    await rateLimit(other, limits, 5000);
    expect(waitMsOf(await other.tryAcquire(1))).toBeGreaterThan(4000);
    await rig.redis.flushall();
    expect(waitMsOf(await other.tryAcquire(1))).toBeGreaterThan(4000);
    expect(waitMsOf(await one.tryAcquire(1))).toBeGreaterThan(4000);
    expect(other.shares).toEqual([0.7]);
  });

  it('discards a state whose times are ahead of the clock, instead of waiting for them', async () => {
    const one = replica('one', LIMITS);
    await one.tryAcquire(1);
    const later = Date.now() + 3_600_000;
    await rig.redis.hset(STATE, 'advancedTo', later, 'accruedTo:1s', later);
    expect(await sendFor(one, 1000)).toBeGreaterThan(25);
  });

  it('allows one call of all replicas when a closing ends, and the others evenly', async () => {
    const limits = [{ name: '1m', limit: 60, windowMs: 60_000 }];
    const all = ['a', 'b', 'c'].map((name) => replica(name, limits));
    await Promise.all(all.map((budget) => budget.sync(0)));
    await all[0]!.close(300);
    await until(
      'the gate is open',
      async () => (await all[1]!.tryAcquire(1)).permits.length > 0 || all[1]!.storeClosedMs() === 0,
    );
    const waits = (await Promise.all([...all, ...all].map((budget) => budget.tryAcquire(1)))).map((grant) =>
      waitMsOf(grant),
    );
    expect((await counted()).length).toBe(1);
    // One call takes a little over a second.
    for (const waitMs of waits.filter((waitMs) => waitMs > 0)) expect(waitMs).toBeGreaterThan(500);
  });

  it('deletes a foreign value under its keys', async () => {
    const one = replica('one', LIMITS);
    await rig.redis.set(STATE, 'garbage');
    await expect(one.tryAcquire(1)).rejects.toThrow('WRONGTYPE');
    expect(waitMsOf(await one.tryAcquire(1))).toBe(0);
  });

  it('includes the waiting reads of other replicas in forecasts, in turns', async () => {
    const [one, other] = [replica('one', LIMITS), replica('other', LIMITS)];
    await other.sync(100);
    await one.sync(0);
    const alone = replica('alone', LIMITS);
    expect(one.forecastMs(30)).toBeGreaterThan(alone.forecastMs(30));
    await other.sync(0);
    await one.sync(0);
    expect(one.forecastMs(30)).toBeLessThanOrEqual(alone.forecastMs(30) + 1);
  });

  it('decreases only the exhausted limit, for all replicas', async () => {
    const limits = [
      { name: '1s', limit: 40, windowMs: 1000 },
      { name: '1h', limit: 4000, windowMs: 3_600_000 },
    ];
    const [one, other] = [replica('one', limits), replica('other', limits)];
    await other.sync(0);
    await rateLimit(one, limits, 1000);
    await other.sync(0);
    expect(other.shares).toEqual([0.7, 1]);
    await rig.redis.flushall();
    const [later, last] = [replica('later', limits), replica('last', limits)];
    await rateLimit(later, limits, 2000);
    await last.sync(0);
    expect(last.shares).toEqual([1, 0.7]);
    // The first recovery step is five minutes after the end of the closing.
    const [closedUntil, recoversAt] = await rig.redis.hmget(STATE, 'closedUntil', 'recoversAt:1h');
    expect(Number(recoversAt) - Number(closedUntil)).toBeCloseTo(300_000, 0);
  });

  it('gives every key an expiry', async () => {
    const one = replica('one', LIMITS);
    await one.tryAcquire(1);
    await one.sync(3);
    for (const key of await rig.redis.keys('*')) expect(await rig.redis.pttl(key)).toBeGreaterThan(0);
    expect(await rig.redis.keys('*')).toHaveLength(3);
  });
});
