import { describe, expect, it } from '@jest/globals';
import { StoreClock } from '../../src/budget/store-clock.ts';

/** How far the store's clock is ahead of the local clock. */
const AHEAD = 5_000_000;

/** A clock after replies, a second apart, with these latencies. */
function clockAfter(...latencies: readonly [there: number, back: number][]): StoreClock {
  const clock = new StoreClock();
  latencies.forEach(([there, back], index) => {
    const askedAt = index * 1000;
    clock.observe(askedAt + there + AHEAD, askedAt, askedAt + there + back);
  });
  return clock;
}

/** Error of a converted time. */
function errorOf(clock: StoreClock): number {
  return Math.abs(clock.toLocal(AHEAD));
}

describe('the clock of the store', () => {
  it('is off by at most half of the difference between both latencies', () => {
    expect(errorOf(clockAfter([15, 15]))).toBe(0);
    expect(errorOf(clockAfter([70, 30]))).toBe(20);
  });

  it('is more exact after several replies than after the best of them', () => {
    expect(errorOf(clockAfter([70, 30], [30, 70]))).toBeLessThan(1);
  });

  it('ignores a reply that was read late', () => {
    expect(errorOf(clockAfter([15, 15], [15, 500], [15, 900]))).toBeLessThan(2);
  });

  it('starts anew when a reply contradicts the known bounds', () => {
    const clock = clockAfter([15, 15]);
    clock.observe(AHEAD + 30_000 + 1015, 1000, 1030);
    expect(clock.toLocal(AHEAD + 30_000)).toBe(0);
  });

  it('leads by the time that a reply takes, less the lateness allowed for a permit', () => {
    expect(clockAfter([1, 1]).leadMs).toBe(0);
    expect(clockAfter(...Array<[number, number]>(30).fill([50, 50])).leadMs).toBeCloseTo(40, 0);
  });
});
