import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parseRetryAfter } from '../../src/upstream/retry-after.ts';

describe('Retry-After', () => {
  const date = 'Wed, 21 Oct 2026 07:28:00 GMT';

  it.each([
    ['120', 120_000],
    [' 7 ', 7000],
    ['Wed, 21 Oct 2026 07:28:30 GMT', 30_000],
    ['Wednesday, 21-Oct-26 07:28:30 GMT', 30_000],
    ['Wed Oct 21 07:28:30 2026', 30_000],
    ['Sun Nov  1 07:28:30 2026', 11 * 24 * 3_600_000 + 30_000],
    // The caller bounds these.
    ['1795582882', 1_795_582_882_000],
    ['9'.repeat(400), Number.MAX_SAFE_INTEGER],
  ])('parses %j', (value, waitMs) => {
    expect(parseRetryAfter(value, date)).toBe(waitMs);
  });

  it.each(['', '0', '-5', '1.5', 'soon', '2026-10-21', 'Wed, 21 Oct 2026 07:27:00 GMT', undefined])(
    'ignores %j',
    (value) => {
      expect(parseRetryAfter(value, date)).toBeUndefined();
    },
  );

  it('parses a date without a time zone as GMT in every local time zone', () => {
    const file = JSON.stringify(join(import.meta.dirname, '../../src/upstream/retry-after.ts'));
    const asctime = JSON.stringify('Wed Oct 21 07:28:30 2026');
    const script = `const { parseRetryAfter: parse } = await import(${file});
      console.log(new Date(0).getHours(), parse(${asctime}, ${JSON.stringify(date)}))`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { TZ: 'Asia/Tokyo' },
      encoding: 'utf8',
    });
    expect(stdout).toBe('9 30000\n');
  });

  it('takes an HTTP-date relative to the local clock when the response has no Date', () => {
    const inAMinute = new Date(Date.now() + 60_000).toUTCString();
    const waitMs = parseRetryAfter(inAMinute, undefined) ?? 0;
    expect(waitMs).toBeGreaterThan(58_000);
    expect(waitMs).toBeLessThanOrEqual(60_000);
  });
});
