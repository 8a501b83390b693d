import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Forecast } from '../../src/budget/forecast.ts';
import { SpreadWindow, spreadWindows } from '../../src/budget/window.ts';

const LIMITS = [
  { limit: 500, windowMs: 60_000 },
  { limit: 5000, windowMs: 3_600_000 },
];
const YEARS = 1.79e12;

const windowsOf = (limits = LIMITS): SpreadWindow[] => spreadWindows(limits, 40).map(({ window }) => window);

afterEach(() => {
  jest.restoreAllMocks();
});

/** Counts how often a forecast calls `waitMs`, at some hundred nanoseconds each. */
function countSteps(forecast: () => unknown): number {
  const wait = jest.spyOn(SpreadWindow.prototype, 'waitMs');
  forecast();
  const { length } = wait.mock.calls;
  wait.mockRestore();
  return length;
}

describe('the cost of a forecast', () => {
  it.each([0, 1000, 3_600_000, 60 * 86_400_000, YEARS])(
    'does not grow with a closing of %d ms',
    (closedMs) => {
      const windows = windowsOf();
      for (const window of windows) window.closeUntil(closedMs);
      const forecast = new Forecast(() => ({ windows, opensAt: closedMs }));
      const steps = countSteps(() => {
        expect(forecast.forecastMs(1, 0)).toBeGreaterThanOrEqual(closedMs);
      });
      expect(steps).toBeLessThanOrEqual(2 * LIMITS.length);
    },
  );

  it('does not grow with times far ahead in a window', () => {
    const far = { credit: 0, accruedTo: YEARS, share: 0.7, recoversAt: YEARS };
    const windows = windowsOf().map((window) => window.withProgress(far, []));
    const forecast = new Forecast(() => ({ windows, opensAt: 3_600_000 }));
    expect(countSteps(() => forecast.forecastMs(1, 0))).toBeLessThanOrEqual(10 * LIMITS.length);
  });

  it('is bounded however many reads wait', () => {
    const forecast = new Forecast(() => ({ windows: windowsOf(), opensAt: 0 }));
    const most = 2000 * LIMITS.length;
    expect(countSteps(() => forecast.forecastMs(100_000, 0))).toBeLessThanOrEqual(most);
    // All of them use the same simulation.
    const more = countSteps(() => {
      for (let nth = 1; nth < 100_000; nth += 100) forecast.forecastMs(nth, 100);
    });
    expect(more).toBe(0);
  });
});

describe('a forecast of sends beyond the simulated ones', () => {
  it.each([
    ['500/1m', [LIMITS[0]!]],
    ['500/1m,5000/1h', LIMITS],
    ['5000/1m', [{ limit: 5000, windowMs: 60_000 }]],
    ['20000/1m', [{ limit: 20_000, windowMs: 60_000 }]],
  ])('is within a tenth of their actual times, with %s', (_, limits) => {
    const forecast = new Forecast(() => ({ windows: windowsOf(limits), opensAt: 0 }));
    const [windows, sent] = [windowsOf(limits), [] as number[]];
    for (let now = 0; sent.length < 25_000;) {
      const waitMs = Math.max(...windows.map((window) => window.waitMs(now)));
      if (waitMs > 0) now += Math.max(waitMs, 1e-3);
      else {
        for (const window of windows) window.consume(now);
        sent.push(now);
      }
    }
    const nths = [1, 500, 1000, 3000, 7000, 12_000, 25_000];
    const times = nths.map((nth) => forecast.forecastMs(nth, 0));
    nths.forEach((nth, index) => {
      const at = sent[nth - 1] ?? NaN;
      expect([nth, Math.abs((times[index] ?? NaN) - at) <= 0.1 * at + 1]).toEqual([nth, true]);
    });
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });
});
