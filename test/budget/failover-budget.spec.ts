import { describe, expect, it } from '@jest/globals';
import type { Knowledge, Operation, Reply } from '../../src/budget/budget-store.ts';
import { FailoverBudget } from '../../src/budget/failover-budget.ts';
import { Gate } from '../../src/budget/gate.ts';
import { Ledger } from '../../src/budget/ledger.ts';
import { LimitReport } from '../../src/budget/limit-report.ts';
import { SharedBudget } from '../../src/budget/shared-budget.ts';
import { spreadWindows } from '../../src/budget/window.ts';
import { waitMsOf } from '../support/budget.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const LIMITS = [
  { name: '1m', limit: 600, windowMs: 60_000 },
  { name: '1h', limit: 6000, windowMs: 3_600_000 },
];
const REPLICAS = 3;

/** A store that answers with what it has been told, or not at all. */
class FakeStore {
  readonly replica = 'one';
  readonly asked: Operation[] = [];
  isAway = false;
  closedUntil = -Infinity;
  shares = [1, 1];

  constructor(private readonly clock: VirtualClock) {}

  run(_: Knowledge, operation: Operation): Promise<Reply> {
    this.asked.push(operation);
    return this.isAway ? Promise.reject(new Error('ECONNREFUSED')) : Promise.resolve(this.#answer(operation));
  }

  #answer(operation: Operation): Reply {
    const now = this.clock.now();
    if (operation.op === 'close' || operation.op === 'refused')
      this.closedUntil = Math.max(this.closedUntil, now + operation.forMs);
    if (operation.op === 'close')
      this.shares = this.shares.map((share, index) => Math.min(share, operation.shares[index] ?? 1));
    const closedMs = Math.max(0, this.closedUntil - now);
    const windows = this.shares.map((share) => ({ credit: 1, accruedAgo: 0, share }));
    return {
      known: true,
      version: 'v',
      cursors: [],
      more: false,
      completions: 0,
      now,
      closedMs,
      sends: [],
      windows,
      moments: operation.op === 'ask' && closedMs === 0 ? [0] : [],
      wait: closedMs,
      added: 0,
      others: [],
      otherLimits: [],
    };
  }

  /** The operations of a kind since the last time. */
  take(op: Operation['op']): Operation[] {
    return this.asked.splice(0).filter((operation) => operation.op === op);
  }
}

async function failover({ isAway = true } = {}) {
  const clock = new VirtualClock();
  const store = new FakeStore(clock);
  const told: unknown[] = [];
  const windows = spreadWindows(LIMITS, 40);
  const parts = {
    windows,
    ledger: new Ledger(windows.map(({ limit, window: { spanMs } }) => ({ limit, spanMs }))),
    gate: new Gate({ clock }),
    latenessMs: 20,
    clock,
  };
  const shared = new SharedBudget({ ...parts, store });
  const budget = new FailoverBudget({
    ...parts,
    shared,
    ownPart: () => spreadWindows(LIMITS, 40, REPLICAS),
    replicas: REPLICAS,
    isAway: () => isAway,
    onAnswered: () => undefined,
    onMode: (mode) => told.push(mode),
    report: new LimitReport({
      limitLowered: ({ window, share, limit }) => told.push(['lowered', window, share, limit]),
      limitRaised: ({ window, share, limit }) => told.push(['raised', window, share, limit]),
    }),
  });
  await budget.sync();
  return { clock, store, budget, told, gate: parts.gate };
}

describe('the failover of the budget', () => {
  it('looks at the store four times a second, until it ends', async () => {
    const { clock, store, budget } = await failover();
    store.take('look');
    await clock.advance(1000);
    expect(store.take('look')).toHaveLength(4);
    budget.end();
    await clock.advance(1000);
    expect([store.asked, clock.pending]).toEqual([[], 0]);
  });

  it('goes on with its part at once when the store is away, even for the read that finds out', async () => {
    const { clock, store, budget, told } = await failover();
    store.isAway = true;
    // 200 a minute and no credit: one in 301.5 ms, and 2000 an hour: one in 1809 ms. It is granted 50 ms ahead.
    const { permits, waitMs } = await budget.tryAcquire(1, 1);
    expect([permits, waitMs]).toEqual([[], expect.closeTo(3_618_000 / 2000 - 50, 0)]);
    expect([budget.state().mode, told]).toEqual(['fallback', ['fallback']]);
    await clock.advance(waitMs);
    expect(waitMsOf(await budget.tryAcquire(1, 1), clock.now())).toBeCloseTo(50, 0);
    expect((await budget.tryAcquire(1, 1)).permits).toEqual([]);
  });

  it('asks again in a moment when one answer alone did not come', async () => {
    const { clock, store, budget, told } = await failover({ isAway: false });
    store.isAway = true;
    expect(waitMsOf(await budget.tryAcquire(1, 1), clock.now())).toBe(1);
    expect([budget.state().mode, told]).toEqual(['shared', []]);
  });

  it('finds out by looking when nobody asks', async () => {
    const { clock, store, told } = await failover();
    store.isAway = true;
    await clock.advance(250);
    expect(told).toEqual(['fallback']);
  });

  it('comes back when the store has answered for 400 ms without a gap', async () => {
    const { clock, store, budget, told } = await failover();
    store.isAway = true;
    await clock.advance(250);
    store.isAway = false;
    await clock.advance(300);
    store.isAway = true;
    await clock.advance(100);
    store.isAway = false;
    await clock.advance(450);
    expect(budget.state().mode).toBe('fallback');
    await clock.advance(150);
    expect([budget.state().mode, told]).toEqual(['shared', ['fallback', 'shared']]);
  });

  it('tells the store of each send that it makes before it comes back', async () => {
    const { clock, store, budget } = await failover();
    store.isAway = true;
    await clock.advance(5000);
    store.isAway = false;
    await clock.advance(100);
    store.take('note');
    expect(waitMsOf(await budget.tryAcquire(1, 1), clock.now())).toBe(0);
    expect(store.take('note')).toEqual([{ op: 'note', send: '0' }]);
  });

  it('closes at once while the store is away, and tells it when it is back', async () => {
    const { clock, store, budget } = await failover();
    store.isAway = true;
    await clock.advance(250);
    budget.close(10_000);
    expect(waitMsOf(await budget.tryAcquire(1, 1), clock.now())).toBe(10_000);
    store.isAway = false;
    store.take('close');
    await clock.advance(100);
    expect(store.take('close')).toEqual([{ op: 'close', forMs: 9900, shares: [1, 1] }]);
    expect(store.closedUntil).toBe(10_250);
    // Once is enough.
    await clock.advance(2000);
    expect(store.take('close')).toEqual([]);
  });

  it('closes and cuts when it is refused while the store is away, and tells it of both', async () => {
    const { clock, store, budget, told } = await failover();
    store.isAway = true;
    await clock.advance(250);
    budget.onRateLimited(30_000);
    expect(budget.state()).toMatchObject({ mode: 'fallback', closedMs: 30_000 });
    expect(told).toEqual(['fallback', ['lowered', '1m', 0.7, 140]]);
    store.isAway = false;
    store.take('close');
    await clock.advance(100);
    expect(store.take('close')).toEqual([{ op: 'close', forMs: 29_900, shares: [0.7, 1] }]);
    expect(store.shares).toEqual([0.7, 1]);
  });

  it('tells the store of a cut whose closing is over by then', async () => {
    const { clock, store, budget } = await failover();
    store.isAway = true;
    await clock.advance(250);
    budget.onRateLimited(1000);
    await clock.advance(3000);
    store.isAway = false;
    store.take('close');
    await clock.advance(100);
    expect(store.take('close')).toEqual([{ op: 'close', forMs: 0, shares: [0.7, 1] }]);
  });

  it('tells the store again of a closing whose word was lost', async () => {
    const { clock, store, budget } = await failover({ isAway: false });
    store.isAway = true;
    budget.onRateLimited(30_000);
    store.isAway = false;
    store.take('refused');
    await clock.advance(250);
    expect(store.take('close')).toMatchObject([{ forMs: 29_750 }]);
  });

  it('asks nobody while the gate is closed, whoever closed it', async () => {
    const { clock, store, budget } = await failover();
    store.closedUntil = 20_000;
    await clock.advance(250);
    store.take('ask');
    expect(waitMsOf(await budget.tryAcquire(1, 1), clock.now())).toBe(19_750);
    expect(store.take('ask')).toEqual([]);
  });

  it('believes no closing of the store that is longer than the longest', async () => {
    const { clock, store, budget, gate } = await failover();
    store.closedUntil = 1.79e12;
    await clock.advance(250);
    expect(budget.state().closedMs).toBe(3_600_000);
    expect(budget.forecastMs(1000)).toBeLessThan(2 * 3_600_000);
    store.isAway = true;
    await clock.advance(250);
    expect([budget.state().mode, gate.closedMs()]).toEqual(['fallback', 3_600_000 - 250]);
  });

  it('reports what the store says of the limits, and their recovery while nobody asks', async () => {
    const { clock, store, told } = await failover();
    store.shares = [0.9, 1];
    await clock.advance(250);
    store.shares = [1, 1];
    await clock.advance(250);
    expect(told).toEqual([
      ['lowered', '1m', 0.9, 540],
      ['raised', '1m', 1, 600],
    ]);
  });
});
