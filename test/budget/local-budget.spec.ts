import { describe, expect, it } from '@jest/globals';
import { Gate } from '../../src/budget/gate.ts';
import { LocalBudget, toleratedLatenessMs } from '../../src/budget/local-budget.ts';
import { type Limit, spreadWindows } from '../../src/budget/window.ts';
import { waitMsOf } from '../support/budget.ts';

function localBudget(
  { limit, windowMs, marginMs, replicas = 1 }: Limit & { marginMs: number; replicas?: number },
  clock: { now: number },
): LocalBudget {
  const windows = spreadWindows([{ name: 'w', limit, windowMs }], marginMs, replicas);
  const latenessMs = toleratedLatenessMs(marginMs);
  return new LocalBudget({ windows, gate: new Gate(), latenessMs }, () => clock.now);
}

/** A budget on a clock of the test's own. */
function budgetAt(limit: number, windowMs: number, replicas = 1, marginMs = 0) {
  const clock = { now: 1000 };
  return { clock, budget: localBudget({ limit, windowMs, replicas, marginMs }, clock) };
}

/** Sends as soon as it may until a time; the times of the sends. */
async function sendUntil({ clock, budget }: ReturnType<typeof budgetAt>, end: number): Promise<number[]> {
  const sent: number[] = [];
  while (clock.now < end) {
    const waitMs = waitMsOf(await budget.ask());
    if (waitMs === 0) sent.push(clock.now);
    else clock.now += waitMs;
  }
  return sent;
}

describe('the budget of one process', () => {
  it('takes its part of the limits when replicas share them', async () => {
    const one = await sendUntil(budgetAt(100, 1000), 2000);
    const quarter = await sendUntil(budgetAt(100, 1000, 4), 2000);
    expect(quarter.length).toBeLessThanOrEqual(26);
    expect(one.length).toBeGreaterThan(90);
  });

  it('forecasts when the nth send will go, and it does', async () => {
    const rig = budgetAt(10, 1000);
    const forecast = Array.from(
      { length: 25 },
      (_, index) => rig.clock.now + rig.budget.forecastMs(index + 1),
    );
    const sent = await sendUntil(rig, 5000);
    forecast.forEach((at, index) => {
      expect(sent[index]).toBeCloseTo(at, 3);
    });
  });

  it('counts nothing that it only forecasts', () => {
    const { budget } = budgetAt(10, 1000);
    budget.forecastMs(1000);
    expect(budget.state().windows[0]?.remaining).toBe(10);
  });

  it('sends nothing while the gate is closed, and a later closing never shortens one', async () => {
    const rig = budgetAt(10, 1000);
    rig.budget.close(5000);
    rig.budget.close(100);
    rig.budget.refused(200);
    expect(waitMsOf(await rig.budget.ask())).toBeGreaterThanOrEqual(5000);
    expect(rig.budget.state().closedMs).toBe(5000);
    const [first] = await sendUntil(rig, 20_000);
    expect(first).toBeGreaterThanOrEqual(6000);
    expect(rig.budget.forecastMs(1)).toBeLessThan(1100);
  });

  it('cuts the limit once a closing, however many 429s come in', async () => {
    const rig = budgetAt(100, 1000);
    rig.budget.refused(1000);
    rig.budget.refused(1000);
    rig.budget.refused(undefined);
    rig.clock.now += 1001;
    await rig.budget.ask();
    expect(rig.budget.state().windows[0]?.remaining).toBe(70);
  });

  it('does not cut the limit for a closing that is no refusal', () => {
    const rig = budgetAt(100, 1000);
    rig.budget.close(100);
    rig.clock.now += 101;
    expect(rig.budget.state().windows[0]?.remaining).toBe(100);
  });

  it('comes to an end on a clock that has run for a year', async () => {
    const rig = budgetAt(7, 1000);
    rig.clock.now = 3.2e10;
    await sendUntil(rig, 3.2e10 + 10_000);
    expect(rig.budget.forecastMs(100)).toBeGreaterThan(10_000);
  });

  it('keeps any window to its limit in real time, however late the timers are', async () => {
    for (const marginMs of [0, 5, 40]) {
      const clock = { now: 0 };
      const budget = localBudget({ limit: 60, windowMs: 1000, marginMs }, clock);
      const sent: number[] = [];
      for (let turn = 0; sent.length < 1500; turn++) {
        const waitMs = waitMsOf(await budget.ask());
        if (waitMs === 0) sent.push(clock.now);
        else clock.now += Math.ceil(waitMs) + ((turn * 7) % 19);
      }
      const most = Math.max(
        ...sent.map((at) => sent.filter((time) => time > at - 1000 && time <= at).length),
      );
      expect([marginMs, most <= 60]).toEqual([marginMs, true]);
    }
  });

  it('does not let the lateness of timers add up over the windows', async () => {
    const rig = budgetAt(10, 1000, 1, 40);
    const sent: number[] = [];
    while (rig.clock.now < 101_000) {
      const waitMs = waitMsOf(await rig.budget.ask());
      if (waitMs === 0) sent.push(rig.clock.now);
      else rig.clock.now += Math.ceil(waitMs) + 7;
    }
    // 10 in 1.04 s, each 7 ms late, and yet no more than those of one window are lost.
    expect(sent.length).toBeGreaterThanOrEqual(Math.floor(100_000 / 104) - 10);
  });
});
