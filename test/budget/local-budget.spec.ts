import { describe, expect, it } from '@jest/globals';
import { Gate } from '../../src/budget/gate.ts';
import { toleratedLatenessMs } from '../../src/budget/granted-permit.ts';
import { LocalBudget } from '../../src/budget/local-budget.ts';
import { type Limit, spreadWindows } from '../../src/budget/window.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

function localBudget(
  { limit, windowMs, marginMs, replicas = 1 }: Limit & { marginMs: number; replicas?: number },
  clock: VirtualClock,
): LocalBudget {
  const windows = spreadWindows([{ name: 'w', limit, windowMs }], marginMs, replicas);
  const latenessMs = toleratedLatenessMs(marginMs);
  return new LocalBudget({ windows, gate: new Gate({ clock }), latenessMs, clock });
}

/** A budget in virtual time. */
function budgetAt(limit: number, windowMs: number, replicas = 1, marginMs = 0) {
  const clock = new VirtualClock();
  return { clock, budget: localBudget({ limit, windowMs, replicas, marginMs }, clock) };
}

/** Sends as early as allowed until a time. @returns the send times */
async function sendUntil({ clock, budget }: ReturnType<typeof budgetAt>, end: number): Promise<number[]> {
  const sent: number[] = [];
  while (clock.now() < end) {
    const {
      permits: [permit],
      waitMs,
    } = await budget.tryAcquire();
    await clock.advance(permit ? Math.max(0, permit.at - clock.now()) : waitMs);
    if (permit) sent.push(clock.now());
  }
  return sent;
}

describe('the local budget', () => {
  it('uses its part of the limits when replicas split them', async () => {
    const one = await sendUntil(budgetAt(100, 1000), 1000);
    const quarter = await sendUntil(budgetAt(100, 1000, 4), 1000);
    expect(quarter.length).toBeLessThanOrEqual(26);
    expect(one.length).toBeGreaterThan(90);
  });

  it('forecasts the nth send at its actual time, or a little later', async () => {
    const rig = budgetAt(10, 1000);
    const forecast = Array.from(
      { length: 25 },
      (_, index) => rig.clock.now() + rig.budget.forecastMs(index + 1),
    );
    const sent = await sendUntil(rig, 4000);
    forecast.forEach((at, index) => {
      expect(sent[index]).toBeLessThanOrEqual(at + 0.001);
      // Each request updates the pace to the rest of the window.
      expect(sent[index]).toBeGreaterThanOrEqual(0.94 * at);
    });
  });

  it('counts no send for a forecast', () => {
    const { budget } = budgetAt(10, 1000);
    budget.forecastMs(1000);
    expect(budget.state().windows[0]?.remaining).toBe(10);
  });

  it('grants nothing while the gate is closed, and never shortens a closing', async () => {
    const rig = budgetAt(10, 1000);
    rig.budget.close(5000);
    rig.budget.close(100);
    rig.budget.onRateLimited(200);
    expect(await rig.budget.tryAcquire()).toEqual({ permits: [], waitMs: 4950 });
    expect(rig.budget.state().closedMs).toBe(5000);
    const [first] = await sendUntil(rig, 20_000);
    expect(first).toBeGreaterThanOrEqual(5000);
    expect(rig.budget.forecastMs(1)).toBeLessThan(1100);
  });

  it('decreases the limit once per closing, however many 429s arrive', async () => {
    const rig = budgetAt(100, 1000);
    rig.budget.onRateLimited(1000);
    rig.budget.onRateLimited(1000);
    rig.budget.onRateLimited(undefined);
    await rig.clock.advance(1001);
    expect(rig.budget.state().windows[0]).toMatchObject({ remaining: 70, share: 0.7 });
  });

  it.each([
    ['none', undefined, [0.7, 1]],
    ['1 s', 1000, [0.7, 1]],
    ['60 s', 60_000, [0.7, 1]],
    ['70 s', 70_000, [1, 0.7]],
    ['an hour', 3_600_000, [1, 0.7]],
    ['57 years', 1.79e12, [1, 0.7]],
  ])('decreases only the exhausted limit, with Retry-After: %s', (_, retryAfterMs, shares) => {
    const clock = new VirtualClock();
    const limits = [
      { name: '1m', limit: 500, windowMs: 60_000 },
      { name: '1h', limit: 5000, windowMs: 3_600_000 },
    ];
    const budget = new LocalBudget({
      windows: spreadWindows(limits, 40),
      gate: new Gate({ clock }),
      latenessMs: 20,
      clock,
    });
    budget.onRateLimited(retryAfterMs);
    expect(budget.state().windows.map(({ share }) => share)).toEqual(shares);
  });

  it.each([1000, 2000, 5000])(
    'allows one call when a Retry-After of %i ms ends, then an even pace',
    async (pauseMs) => {
      const rig = budgetAt(600, 60_000);
      await rig.clock.advance(60_000);
      rig.budget.onRateLimited(pauseMs);
      expect(rig.budget.forecastMs(1)).toBeCloseTo(pauseMs, 3);
      const from = rig.clock.now();
      const sent = await sendUntil(rig, from + pauseMs + 1500);
      // 420 a minute are one in 143 ms.
      const wanted = Array.from({ length: 10 }, (_, index) => from + pauseMs + index * (60_300 / 420));
      sent.slice(0, 10).forEach((at, index) => expect(at).toBeCloseTo(wanted[index] ?? 0, 1));
      expect(sent.length).toBe(11);
    },
  );

  it('allows one call of all uncoordinated replicas together when they reopen', async () => {
    const clock = new VirtualClock();
    const rigs = [1, 2, 3].map(() => {
      const windows = spreadWindows([{ name: 'w', limit: 60, windowMs: 60_000 }], 0, 3);
      const gate = new Gate({ clock });
      return { clock, budget: new LocalBudget({ windows, gate, latenessMs: 0, clock, replicas: 3 }) };
    });
    for (const { budget } of rigs) budget.close(1000);
    await clock.advance(1000);
    const waits = await Promise.all(rigs.map(async ({ budget }) => (await budget.tryAcquire()).waitMs));
    // A third of a credit each; 20 a minute are one in 3 s.
    for (const waitMs of waits) expect(waitMs).toBeCloseTo((2 / 3) * (60_300 / 20) - 50, 0);
  });

  it('does not decrease the limit for a 503', async () => {
    const rig = budgetAt(100, 1000);
    rig.budget.close(100);
    await rig.clock.advance(101);
    expect(rig.budget.state().windows[0]?.remaining).toBe(100);
  });

  it('makes progress on a clock that has run for a year', async () => {
    const rig = budgetAt(7, 1000);
    await rig.clock.advance(3.2e10);
    await sendUntil(rig, 3.2e10 + 10_000);
    expect(rig.budget.forecastMs(100)).toBeGreaterThan(10_000);
  });

  it('keeps the limit in any window of real time, however late timers fire', async () => {
    for (const marginMs of [0, 5, 40]) {
      const clock = new VirtualClock();
      const budget = localBudget({ limit: 60, windowMs: 1000, marginMs }, clock);
      const sent: number[] = [];
      for (let turn = 0; sent.length < 1500; turn++) {
        const {
          permits: [permit],
          waitMs,
        } = await budget.tryAcquire();
        const aheadMs = permit ? permit.at - clock.now() : waitMs;
        if (aheadMs > 0) await clock.advance(Math.ceil(aheadMs) + ((turn * 7) % 19));
        if (!permit) continue;
        if (permit.isValid()) {
          permit.sent();
          sent.push(clock.now());
        } else permit.release();
      }
      const most = Math.max(
        ...sent.map((at) => sent.filter((time) => time > at - 1000 && time <= at).length),
      );
      expect([marginMs, most <= 60]).toEqual([marginMs, true]);
    }
  });

  it('does not accumulate the lateness of timers over windows', async () => {
    const rig = budgetAt(10, 1000, 1, 40);
    const sent: number[] = [];
    while (rig.clock.now() < 100_000) {
      const {
        permits: [permit],
        waitMs,
      } = await rig.budget.tryAcquire();
      const aheadMs = permit ? permit.at - rig.clock.now() : waitMs;
      if (aheadMs > 0) await rig.clock.advance(Math.ceil(aheadMs) + 7);
      permit?.sent();
      if (permit) sent.push(rig.clock.now());
    }
    // 10 in 1.04 s, each 7 ms late: at most the sends of one window are lost.
    expect(sent.length).toBeGreaterThanOrEqual(Math.floor(100_000 / 104) - 10);
  });
});
