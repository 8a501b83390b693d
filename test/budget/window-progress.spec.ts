import { describe, expect, it } from '@jest/globals';
import { boundProgress } from '../../src/budget/window-progress.ts';

const SIZE = { fullLimit: 500, spanMs: 60_000, burst: 250 };
const FAR = 1.79e12;

describe('the progress of a window read from the store', () => {
  it('stays as it is when it is valid', () => {
    const progress = { credit: -3, accruedTo: 900, share: 0.7, recoversAt: 61_000 };
    expect(boundProgress(progress, SIZE, 1000, -Infinity)).toEqual(progress);
    const closed = { credit: 1, accruedTo: 5000, share: 1, recoversAt: Infinity };
    expect(boundProgress(closed, SIZE, 1000, 5000)).toEqual(closed);
  });

  it('is clamped when it is out of range', () => {
    const far = { credit: FAR, accruedTo: FAR, share: -FAR, recoversAt: FAR };
    expect(boundProgress(far, SIZE, 1000, 5000)).toEqual({
      credit: 250,
      accruedTo: 5000,
      share: 0.05,
      recoversAt: 65_000,
    });
    expect(boundProgress({ ...far, credit: -FAR, share: FAR }, SIZE, 1000, 5000)).toEqual({
      credit: -500,
      accruedTo: 5000,
      share: 1,
      recoversAt: Infinity,
    });
  });
});
