import { describe, expect, it } from '@jest/globals';
import { ArrivalDelay } from '../../src/budget/arrival-delay.ts';

/** The delays of calls that took so long, in milliseconds. */
function delays(...tookMs: number[]): number[] {
  const delay = new ArrivalDelay();
  return tookMs.map((ms) => delay.observe(ms));
}

describe('a call may have arrived', () => {
  it('as much later than usual as its answer came', () => {
    expect(delays(80, 80, 125)).toEqual([0, 0, 45]);
  });

  it('no more than 100 ms late, however late its answer', () => {
    expect(delays(80, 80, 5000)[2]).toBe(100);
  });

  it('on time when the answers of all calls come later than before', () => {
    const slower = delays(20, ...Array<number>(400).fill(120));
    expect(slower[1]).toBe(100);
    expect(slower.at(-1)).toBeLessThan(1);
  });

  it('hardly later after one answer that came at once', () => {
    const [, , ...later] = delays(80, 0, ...Array<number>(100).fill(80));
    expect(Math.max(...later)).toBeLessThanOrEqual(10);
  });
});
