import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SpreadWindow, spreadWindows } from '../../src/budget/window.ts';
import { Window, windows } from './admission-oracle.mjs';

/** Sends whenever the window allows it, at times `steps` apart (ms), and compares each wait with the oracle's. */
function expectAgreement(mine: SpreadWindow, oracle: Window, steps: readonly number[]): void {
  let now = 0;
  for (const step of steps) {
    now += step;
    const waitMs = mine.waitMs(now);
    expect(waitMs).toBeCloseTo(oracle.wait(now), 5);
    if (waitMs > 0) continue;
    mine.consume(now);
    oracle.consume(now);
  }
}

describe('a spread window', () => {
  it('returns the waits of the oracle at any times', () => {
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
        (limit, span, times) => {
          expectAgreement(
            new SpreadWindow(limit, span, limit / 2),
            new Window(limit, span, limit / 2),
            times,
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  it('combines several windows like the oracle', () => {
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
      const waitMs = Math.max(...mine.map((window) => window.waitMs(now)));
      expect(waitMs).toBeCloseTo(Math.max(...oracle.map((window) => window.wait(now))), 4);
      now += waitMs;
      if (waitMs > 0) continue;
      for (const window of [...mine, ...oracle]) window.consume(now);
      sent++;
    }
  });

  it('never allows more than its limit in any span, including decreases and closings', () => {
    const events = fc.array(
      fc.record({
        step: fc.nat(400),
        what: fc.constantFrom('send', 'send', 'send', 'send', 'decrease', 'close'),
      }),
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
          if (what === 'decrease') window.decrease(now);
          if (what === 'close') window.closeUntil((closedUntil = Math.max(closedUntil, now + step)));
          if (what !== 'send' || now < closedUntil || window.waitMs(now) > 0) continue;
          window.consume(now);
          sent.push(now);
        }
        for (const at of sent)
          expect(sent.filter((time) => time > at - span && time <= at).length).toBeLessThanOrEqual(limit);
      }),
      { numRuns: 300 },
    );
  });

  it('decreases to 70 %, not below 5 %, and regains 5 % of the setting with each step', () => {
    const window = new SpreadWindow(100, 1000, 50);
    window.decrease(0);
    expect(window.limit).toBe(70);
    window.waitMs(999);
    expect(window.limit).toBe(70);
    window.waitMs(1000);
    expect(window.limit).toBe(75);
    window.waitMs(6000);
    expect(window.limit).toBe(100);
    for (let times = 0; times < 20; times++) window.decrease(6000);
    expect(window.limit).toBe(5);
  });

  it('allows one call when a closing ends, then an even pace without further credit', () => {
    const window = new SpreadWindow(100, 1000, 50);
    window.closeUntil(2000);
    expect(window.waitMs(2000)).toBe(0);
    window.consume(2000);
    expect(window.waitMs(2000)).toBeCloseTo(10, 3);
  });

  it('allows no call when a closing ends while it is full', () => {
    const window = new SpreadWindow(2, 10_000, 2);
    for (const at of [0, 1]) window.consume(at);
    window.closeUntil(5000);
    expect(window.waitMs(5000)).toBeCloseTo(5000, 3);
  });

  it.each([
    ['1 s', 1000, 1000],
    ['1 min', 60_000, 60_000],
    ['1 h', 3_600_000, 300_000],
    ['31 days', 31 * 86_400_000, 300_000],
  ])('of %s regains 5 %% per window, or every five minutes if that is sooner', (_, spanMs, stepMs) => {
    const window = new SpreadWindow(1000, spanMs, 50);
    window.decrease(0);
    for (const [steps, limit] of [
      [0, 700],
      [1, 750],
      [5, 950],
      [6, 1000],
    ] as const) {
      window.waitMs(steps * stepMs);
      expect([steps, window.limit]).toEqual([steps, limit]);
    }
  });

  it('recovers fully after a year without requests, in a bounded number of steps', () => {
    const window = new SpreadWindow(1000, 60_000, 50);
    for (let times = 0; times < 20; times++) window.decrease(0);
    window.consume(0);
    const year = 365 * 86_400_000;
    expect([window.waitMs(year), window.limit, window.count]).toEqual([0, 1000, 0]);
  });

  it('allows a send again even with a limit of one', () => {
    const window = spreadWindows([{ limit: 1, windowMs: 1000 }], 0)[0]?.window;
    expect(window?.waitMs(0)).toBe(0);
    window?.consume(0);
    window?.decrease(0);
    expect(window?.waitMs(1006)).toBe(0);
  });
});
