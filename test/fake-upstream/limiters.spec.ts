import { describe, expect, it } from '@jest/globals';
import { FixedWindow, SlidingWindow, TokenBucket, parseLimits, tryAcquireAll } from './limiters.ts';

describe('a fixed window', () => {
  it('admits its limit in each multiple of its length', () => {
    const window = new FixedWindow({ limit: 2, windowMs: 100 });
    const outcomes = [180, 190, 199, 200, 201, 202].map((now) => window.tryAcquire(now));
    expect(outcomes).toEqual([null, null, 1, null, null, 98]);
  });
});

describe('a sliding window', () => {
  it('admits its limit in any interval of its length, to the millisecond', () => {
    const window = new SlidingWindow({ limit: 2, windowMs: 100 });
    const outcomes = [180, 190, 199, 279, 280, 289, 290].map((now) => window.tryAcquire(now));
    expect(outcomes).toEqual([null, null, 81, 1, null, 1, null]);
  });

  it('does not count refused calls', () => {
    const window = new SlidingWindow({ limit: 1, windowMs: 100 });
    for (let now = 0; now < 100; now++) window.tryAcquire(now);
    expect(window.tryAcquire(100)).toBeNull();
  });
});

describe('a token bucket', () => {
  it('admits its limit at once, then one for each new token', () => {
    const bucket = new TokenBucket({ limit: 2, windowMs: 100 });
    const outcomes = [180, 190, 191, 230, 231, 280].map((now) => bucket.tryAcquire(now));
    expect(outcomes).toEqual([null, null, 39, null, 49, null]);
  });

  it('never has more tokens than its limit', () => {
    const bucket = new TokenBucket({ limit: 2, windowMs: 100 });
    const outcomes = [10_000, 10_000, 10_000].map((now) => bucket.tryAcquire(now));
    expect(outcomes).toEqual([null, null, 50]);
  });
});

describe('several limits at once', () => {
  it.each([FixedWindow, SlidingWindow])('all apply, and a refused call counts in none (%p)', (Window) => {
    const limits = [new Window({ limit: 2, windowMs: 10 }), new Window({ limit: 3, windowMs: 100 })];
    const at = (now: number): number | null => tryAcquireAll(limits, now);
    expect([at(0), at(0), at(0), at(0)]).toEqual([null, null, 10, 10]);
    expect([at(10), at(10)]).toEqual([null, 90]);
    expect([at(100), at(100)]).toEqual([null, null]);
  });
});

describe('limits as text', () => {
  it('are a number and a length each', () => {
    expect(parseLimits('100/250ms, 2/3s,5/1m,7/2h')).toEqual([
      { limit: 100, windowMs: 250 },
      { limit: 2, windowMs: 3000 },
      { limit: 5, windowMs: 60_000 },
      { limit: 7, windowMs: 7_200_000 },
    ]);
    expect(parseLimits('')).toEqual([]);
  });

  it.each(['5', '5/1d', '0/1s', '5/0s', '-5/1s', '5/1s,', 'x'])('are refused when they are %p', (text) => {
    expect(() => parseLimits(text)).toThrow('limits must be such as');
  });
});
