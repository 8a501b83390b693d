import { describe, expect, it } from '@jest/globals';
import type { KnownState, Operation, Reply } from '../../src/budget/budget-store.ts';
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

/** A store that keeps closings and shares, or does not answer. */
class FakeStore {
  readonly replica = 'one';
  readonly operations: Operation[] = [];
  isUnavailable = false;
  closedUntil = -Infinity;
  shares = [1, 1];

  constructor(private readonly clock: VirtualClock) {}

  run(_: KnownState, operation: Operation): Promise<Reply> {
    this.operations.push(operation);
    return this.isUnavailable
      ? Promise.reject(new Error('ECONNREFUSED'))
      : Promise.resolve(this.#answer(operation));
  }

  #answer(operation: Operation): Reply {
    const now = this.clock.now();
    if (operation.op === 'rateLimited')
      this.closedUntil = Math.max(this.closedUntil, now + operation.closeMs);
    if (operation.op === 'close') {
      this.closedUntil = Math.max(this.closedUntil, now + operation.forMs);
      this.shares = this.shares.map((share, index) => Math.min(share, operation.shares[index] ?? 1));
    }
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
      moments: operation.op === 'acquire' && closedMs === 0 ? [0] : [],
      wait: closedMs,
      added: 0,
      others: [],
      otherLimits: [],
    };
  }

  /** The operations of one kind since the last call; forgets the others. */
  takeOperations(op: Operation['op']): Operation[] {
    return this.operations.splice(0).filter((operation) => operation.op === op);
  }
}

async function failover({ errorsMeanOutage = true } = {}) {
  const clock = new VirtualClock();
  const store = new FakeStore(clock);
  const reports: unknown[] = [];
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
    localWindows: () => spreadWindows(LIMITS, 40, REPLICAS),
    replicas: REPLICAS,
    onStoreError: () => errorsMeanOutage,
    onAnswered: () => undefined,
    onMode: (mode) => reports.push(mode),
    report: new LimitReport({
      limitLowered: ({ window, share, limit }) => reports.push(['lowered', window, share, limit]),
      limitRaised: ({ window, share, limit }) => reports.push(['raised', window, share, limit]),
    }),
  });
  await budget.sync();
  return { clock, store, budget, reports, gate: parts.gate };
}

describe('the failover budget', () => {
  it('syncs with the store four times a second, until it ends', async () => {
    const { clock, store, budget } = await failover();
    store.takeOperations('sync');
    await clock.advance(1000);
    expect(store.takeOperations('sync')).toHaveLength(4);
    budget.end();
    await clock.advance(1000);
    expect([store.operations, clock.pending]).toEqual([[], 0]);
  });

  it('uses its local part at once when the store fails, even for the request that notices', async () => {
    const { clock, store, budget, reports } = await failover();
    store.isUnavailable = true;
    // Without credit: 200 a minute are one in 301.5 ms, 2000 an hour one in 1809 ms. Grants are 50 ms ahead.
    const { permits, waitMs } = await budget.tryAcquire(1, 1);
    expect([permits, waitMs]).toEqual([[], expect.closeTo(3_618_000 / 2000 - 50, 0)]);
    expect([budget.state().mode, reports]).toEqual(['fallback', ['fallback']]);
    await clock.advance(waitMs);
    expect(waitMsOf(await budget.tryAcquire(1, 1), clock.now())).toBeCloseTo(50, 0);
    expect((await budget.tryAcquire(1, 1)).permits).toEqual([]);
  });

  it('retries after a single lost reply', async () => {
    const { clock, store, budget, reports } = await failover({ errorsMeanOutage: false });
    store.isUnavailable = true;
    expect(waitMsOf(await budget.tryAcquire(1, 1), clock.now())).toBe(1);
    expect([budget.state().mode, reports]).toEqual(['shared', []]);
  });

  it('notices an unavailable store by its syncs', async () => {
    const { clock, store, reports } = await failover();
    store.isUnavailable = true;
    await clock.advance(250);
    expect(reports).toEqual(['fallback']);
  });

  it('returns when the store has answered for 400 ms without a gap', async () => {
    const { clock, store, budget, reports } = await failover();
    store.isUnavailable = true;
    await clock.advance(250);
    store.isUnavailable = false;
    await clock.advance(300);
    store.isUnavailable = true;
    await clock.advance(100);
    store.isUnavailable = false;
    await clock.advance(450);
    expect(budget.state().mode).toBe('fallback');
    await clock.advance(150);
    expect([budget.state().mode, reports]).toEqual(['shared', ['fallback', 'shared']]);
  });

  it('records its sends in the store before it returns', async () => {
    const { clock, store, budget } = await failover();
    store.isUnavailable = true;
    await clock.advance(5000);
    store.isUnavailable = false;
    await clock.advance(100);
    store.takeOperations('record');
    expect(waitMsOf(await budget.tryAcquire(1, 1), clock.now())).toBe(0);
    expect(store.takeOperations('record')).toEqual([{ op: 'record', send: '0' }]);
  });

  it('closes at once while the store is unavailable, and repeats the closing in the store later', async () => {
    const { clock, store, budget } = await failover();
    store.isUnavailable = true;
    await clock.advance(250);
    budget.close(10_000);
    expect(waitMsOf(await budget.tryAcquire(1, 1), clock.now())).toBe(10_000);
    store.isUnavailable = false;
    store.takeOperations('close');
    await clock.advance(100);
    expect(store.takeOperations('close')).toEqual([{ op: 'close', forMs: 9900, shares: [1, 1] }]);
    expect(store.closedUntil).toBe(10_250);
    // Only once.
    await clock.advance(2000);
    expect(store.takeOperations('close')).toEqual([]);
  });

  it('reacts to a 429 while the store is unavailable, and repeats closing and decrease in the store later', async () => {
    const { clock, store, budget, reports } = await failover();
    store.isUnavailable = true;
    await clock.advance(250);
    budget.onRateLimited(30_000);
    expect(budget.state()).toMatchObject({ mode: 'fallback', closedMs: 30_000 });
    expect(reports).toEqual(['fallback', ['lowered', '1m', 0.7, 140]]);
    store.isUnavailable = false;
    store.takeOperations('close');
    await clock.advance(100);
    expect(store.takeOperations('close')).toEqual([{ op: 'close', forMs: 29_900, shares: [0.7, 1] }]);
    expect(store.shares).toEqual([0.7, 1]);
  });

  it('repeats a decrease in the store although its closing is over', async () => {
    const { clock, store, budget } = await failover();
    store.isUnavailable = true;
    await clock.advance(250);
    budget.onRateLimited(1000);
    await clock.advance(3000);
    store.isUnavailable = false;
    store.takeOperations('close');
    await clock.advance(100);
    expect(store.takeOperations('close')).toEqual([{ op: 'close', forMs: 0, shares: [0.7, 1] }]);
  });

  it('repeats a closing whose update was lost', async () => {
    const { clock, store, budget } = await failover({ errorsMeanOutage: false });
    store.isUnavailable = true;
    budget.onRateLimited(30_000);
    store.isUnavailable = false;
    store.takeOperations('rateLimited');
    await clock.advance(250);
    expect(store.takeOperations('close')).toMatchObject([{ forMs: 29_750 }]);
  });

  it('sends the store no request while the gate is closed', async () => {
    const { clock, store, budget } = await failover();
    store.closedUntil = 20_000;
    await clock.advance(250);
    store.takeOperations('acquire');
    expect(waitMsOf(await budget.tryAcquire(1, 1), clock.now())).toBe(19_750);
    expect(store.takeOperations('acquire')).toEqual([]);
  });

  it('shortens a closing of the store to the longest allowed', async () => {
    const { clock, store, budget, gate } = await failover();
    store.closedUntil = 1.79e12;
    await clock.advance(250);
    expect(budget.state().closedMs).toBe(3_600_000);
    expect(budget.forecastMs(1000)).toBeLessThan(2 * 3_600_000);
    store.isUnavailable = true;
    await clock.advance(250);
    expect([budget.state().mode, gate.closedMs()]).toEqual(['fallback', 3_600_000 - 250]);
  });

  it('reports decreased limits of the store, and their recovery without requests', async () => {
    const { clock, store, reports } = await failover();
    store.shares = [0.9, 1];
    await clock.advance(250);
    store.shares = [1, 1];
    await clock.advance(250);
    expect(reports).toEqual([
      ['lowered', '1m', 0.9, 540],
      ['raised', '1m', 1, 600],
    ]);
  });
});
