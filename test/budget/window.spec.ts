import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SpreadWindow, spreadWindows } from '../../src/budget/window.ts';
import { Window, windows } from './admission-oracle.mjs';

/** Sends whenever the window lets it, at moments that `steps` (ms) lead to; checks each answer against the oracle's. */
function agrees(mine: SpreadWindow, oracle: Window, steps: readonly number[]): void {
  let now = 0;
  for (const step of steps) {
    now += step;
    const waitMs = mine.wait(now);
    expect(waitMs).toBeCloseTo(oracle.wait(now), 5);
    if (waitMs > 0) continue;
    mine.take(now);
    oracle.take(now);
  }
}

describe('a spread window', () => {
  it('gives the answers of the admission arithmetic at any moments', () => {
    const steps = fc.array(
      fc.oneof(fc.constant(0), fc.double({ min: 0, max: 50, noNaN: true }), fc.nat(2000)),
      {
        maxLength: 400,
      },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 60 }),
        fc.integer({ min: 100, max: 3000 }),
        steps,
        (limit, span, moments) => {
          agrees(new SpreadWindow(limit, span, limit / 2), new Window(limit, span, limit / 2), moments);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('gives its bursts to several windows as the arithmetic does', () => {
    const mine = spreadWindows(
      [
        { limit: 100, windowMs: 2000 },
        { limit: 300, windowMs: 10_000 },
      ],
      0,
    ).map(({ window }) => window);
    const oracle = windows([100, 2000 * 1.005], [300, 10_000 * 1.005]);
    let now = 0;
    for (let sent = 0; sent < 1000;) {
      const waitMs = Math.max(...mine.map((window) => window.wait(now)));
      expect(waitMs).toBeCloseTo(Math.max(...oracle.map((window) => window.wait(now))), 4);
      now += waitMs;
      if (waitMs > 0) continue;
      for (const window of [...mine, ...oracle]) window.take(now);
      sent++;
    }
  });

  it('never lets more than its limit into any span, cuts and closings included', () => {
    const events = fc.array(
      fc.record({ step: fc.nat(400), what: fc.constantFrom('ask', 'ask', 'ask', 'ask', 'cut', 'close') }),
      { maxLength: 500 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), events, (limit, list) => {
        const span = 1000;
        const window = spreadWindows([{ limit, windowMs: span }], 40)[0]?.window;
        if (!window) throw new Error('one limit makes one window');
        const sent: number[] = [];
        let now = 0;
        let closedUntil = 0;
        for (const { step, what } of list) {
          now += step;
          if (what === 'cut') window.cut(now);
          if (what === 'close') window.closeUntil((closedUntil = Math.max(closedUntil, now + step)));
          if (what !== 'ask' || now < closedUntil || window.wait(now) > 0) continue;
          window.take(now);
          sent.push(now);
        }
        for (const at of sent)
          expect(sent.filter((time) => time > at - span && time <= at).length).toBeLessThanOrEqual(limit);
      }),
      { numRuns: 300 },
    );
  });

  it('is cut to 0.7, not below 5 %, and gains back 5 % of the setting with each step', () => {
    const window = new SpreadWindow(100, 1000, 50);
    window.cut(0);
    expect(window.limit).toBe(70);
    window.wait(999);
    expect(window.limit).toBe(70);
    window.wait(1000);
    expect(window.limit).toBe(75);
    window.wait(6000);
    expect(window.limit).toBe(100);
    for (let times = 0; times < 20; times++) window.cut(6000);
    expect(window.limit).toBe(5);
  });

  it('lets one call go when a closing ends, and goes on at an even pace: the rest of the credit is gone', () => {
    const window = new SpreadWindow(100, 1000, 50);
    window.closeUntil(2000);
    expect(window.wait(2000)).toBe(0);
    window.take(2000);
    expect(window.wait(2000)).toBeCloseTo(10, 3);
  });

  it('lets none go when a closing ends as long as it is full', () => {
    const window = new SpreadWindow(2, 10_000, 2);
    for (const at of [0, 1]) window.take(at);
    window.closeUntil(5000);
    expect(window.wait(5000)).toBeCloseTo(5000, 3);
  });

  it.each([
    ['1 s', 1000, 1000],
    ['1 min', 60_000, 60_000],
    ['1 h', 3_600_000, 300_000],
    ['31 days', 31 * 86_400_000, 300_000],
  ])('of %s regains 5 %% a window, every five minutes at the latest', (_, spanMs, stepMs) => {
    const window = new SpreadWindow(1000, spanMs, 50);
    window.cut(0);
    for (const [steps, limit] of [
      [0, 700],
      [1, 750],
      [5, 950],
      [6, 1000],
    ] as const) {
      window.wait(steps * stepMs);
      expect([steps, window.limit]).toEqual([steps, limit]);
    }
  });

  it('is where it was after a year without a question, in as many steps as there is to recover', () => {
    const window = new SpreadWindow(1000, 60_000, 50);
    for (let times = 0; times < 20; times++) window.cut(0);
    window.take(0);
    const year = 365 * 86_400_000;
    expect([window.wait(year), window.limit, window.count]).toEqual([0, 1000, 0]);
  });

  it('always lets a limit of one through again', () => {
    const window = spreadWindows([{ limit: 1, windowMs: 1000 }], 0)[0]?.window;
    expect(window?.wait(0)).toBe(0);
    window?.take(0);
    window?.cut(0);
    expect(window?.wait(1006)).toBe(0);
  });
});
