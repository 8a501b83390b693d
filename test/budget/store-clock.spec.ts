import { describe, expect, it } from '@jest/globals';
import { StoreClock } from '../../src/budget/store-clock.ts';

/** How far the store's clock is ahead of ours in these tests. */
const AHEAD = 5_000_000;

/** Answers that take so long there and back, a second apart. */
function after(...ways: readonly [there: number, back: number][]): StoreClock {
  const clock = new StoreClock();
  ways.forEach(([there, back], index) => {
    const askedAt = index * 1000;
    clock.observe(askedAt + there + AHEAD, askedAt, askedAt + there + back);
  });
  return clock;
}

/** By how much a time of the store is mistaken. */
function error(clock: StoreClock): number {
  return Math.abs(clock.toLocal(AHEAD));
}

describe('the clock of the store', () => {
  it('is known to half of what the ways differ by', () => {
    expect(error(after([15, 15]))).toBe(0);
    expect(error(after([70, 30]))).toBe(20);
  });

  it('is known better by several answers than by the best of them', () => {
    expect(error(after([70, 30], [30, 70]))).toBeLessThan(1);
  });

  it('does not shift with an answer that lay unread', () => {
    expect(error(after([15, 15], [15, 500], [15, 900]))).toBeLessThan(2);
  });

  it('is another one when no shift of the former explains an answer', () => {
    const clock = after([15, 15]);
    clock.observe(AHEAD + 30_000 + 1015, 1000, 1030);
    expect(clock.toLocal(AHEAD + 30_000)).toBe(0);
  });

  it('tells how long an answer takes, less what a permit may be late', () => {
    expect(after([1, 1]).leadMs).toBe(0);
    expect(after(...Array<[number, number]>(30).fill([50, 50])).leadMs).toBeCloseTo(40, 0);
  });
});
