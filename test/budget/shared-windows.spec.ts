import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Forecast } from '../../src/budget/forecast.ts';
import { Ledger } from '../../src/budget/ledger.ts';
import { windowStates } from '../../src/budget/local-budget.ts';
import { BLOCK_SIZES, blockSizeIndex } from '../../src/budget/send-blocks.ts';
import { SharedWindows } from '../../src/budget/shared-windows.ts';
import { spreadWindows } from '../../src/budget/window.ts';

const DAY = 86_400_000;
const NOW = 40 * DAY;

/** The window of one limit, with blocks of sends of these ages by another replica. */
function windowsAfter(limit: number, windowMs: number, agesMs: readonly number[]) {
  const named = spreadWindows([{ name: 'limit', limit, windowMs }], 40);
  const { spanMs } = named[0]!.window;
  const ledger = new Ledger([{ limit, spanMs }]);
  agesMs.forEach((ageMs, block) => {
    ledger.record(blockSizeIndex(limit), `other:${block}`, NOW - ageMs);
  });
  const windows = new SharedWindows(named, ledger);
  windows.update([{ credit: 0, accruedAgo: 0, share: 1 }], NOW, NOW, -Infinity);
  return { named, windows, spanMs };
}

describe('windows counted in blocks of sends', () => {
  it('count each block in full until its last send leaves, and later sends one by one', () => {
    const ages = fc.array(fc.double({ min: 0, max: 9000, noNaN: true }), { maxLength: 40 });
    fc.assert(
      fc.property(
        fc.constantFrom(5000, 20_000, 1_000_000),
        ages,
        fc.nat(12_000),
        (limit, agesMs, laterMs) => {
          const { windows, spanMs } = windowsAfter(limit, 10_000, agesMs);
          const window = windows.at(NOW)[0]!.clone();
          window.consume(NOW);
          const size = BLOCK_SIZES[blockSizeIndex(limit)]!;
          const left = agesMs.map((ageMs) => spanMs - ageMs - laterMs).filter((leavesMs) => leavesMs > 0);
          const own = spanMs > laterMs ? 1 : 0;
          expect(window.remaining(NOW + laterMs)).toBe(Math.max(0, limit - left.length * size - own));
          const leaves = [...left, ...(own ? [spanMs - laterMs] : [])];
          expect(window.resetMs(NOW + laterMs)).toBeCloseTo(Math.min(...(leaves.length ? leaves : [0])), 3);
        },
      ),
    );
  });

  it('accrue credit for all sends of the block that leaves next, as the script does', () => {
    const { windows, spanMs } = windowsAfter(5000, 10_000, Array<number>(1249).fill(0));
    // 4 are left, and 4 leave in one span.
    expect(windows.at(NOW)[0]!.waitMs(NOW)).toBeCloseTo(spanMs / 8, 3);
  });

  it('take a few milliseconds per response of upstream with a million sends in a month', () => {
    const ages = Array.from({ length: 3906 }, (_, block) => (31 * DAY * (3906 - block)) / 3907);
    const { named, windows } = windowsAfter(1_000_000, 31 * DAY, ages);
    let tookMs = Infinity;
    for (let time = 0; time < 10; time++) {
      const since = performance.now();
      windows.onChanged();
      const states = windowStates([{ ...named[0]!, window: windows.at(NOW)[0]! }], NOW);
      expect(states[0]?.remaining).toBe(1_000_000 - 3906 * 256);
      const forecast = new Forecast(() => ({ windows: windows.at(NOW), opensAt: -Infinity }));
      expect(forecast.forecastMs(1, NOW)).toBeGreaterThan(0);
      tookMs = Math.min(tookMs, performance.now() - since);
    }
    process.stdout.write(`a million sends in a month: ${tookMs.toFixed(2)} ms\n`);
    expect(tookMs).toBeLessThanOrEqual(5);
  });
});
