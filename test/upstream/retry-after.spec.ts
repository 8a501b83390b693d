import { describe, expect, it } from '@jest/globals';
import { parseRetryAfter } from '../../src/upstream/retry-after.ts';

describe('Retry-After', () => {
  const date = 'Wed, 21 Oct 2026 07:28:00 GMT';

  it.each([
    ['120', 120_000],
    [' 7 ', 7000],
    ['Wed, 21 Oct 2026 07:28:30 GMT', 30_000],
    ['Wednesday, 21-Oct-26 07:28:30 GMT', 30_000],
  ])('reads %j', (value, waitMs) => {
    expect(parseRetryAfter(value, date)).toBe(waitMs);
  });

  it.each(['', '0', '-5', '1.5', 'soon', '2026-10-21', 'Wed, 21 Oct 2026 07:27:00 GMT', undefined])(
    'takes %j for no word at all',
    (value) => {
      expect(parseRetryAfter(value, date)).toBeUndefined();
    },
  );

  it('takes an HTTP-date relative to our own clock only when the answer has no date', () => {
    const inAMinute = new Date(Date.now() + 60_000).toUTCString();
    const waitMs = parseRetryAfter(inAMinute, undefined) ?? 0;
    expect(waitMs).toBeGreaterThan(58_000);
    expect(waitMs).toBeLessThanOrEqual(60_000);
  });
});
