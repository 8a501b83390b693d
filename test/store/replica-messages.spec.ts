import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { decodeMessage, encodeMessage } from '../../src/store/replica-messages.ts';

const HOUR_MS = 3_600_000;
const id = randomUUID();

describe('a replica message', () => {
  it('is undefined when it is invalid, whatever its form and size', () => {
    const garbage = [
      '',
      ' ',
      'heartbeat',
      '\u0000\u0001',
      id,
      `${id} `,
      `${id} null`,
      `${id} []`,
      `${id} {"kind":"sold"}`,
      `${id} {"kind":"failed","status":200,"body":{"code":"a","message":"b"}}`,
      `not-a-job {"kind":"free"}`,
      `${id} {"kind":"free","x":"${'x'.repeat(2 ** 20)}"}`,
      `${id} ${'['.repeat(50_000)}`,
    ];
    expect(garbage.map((message) => decodeMessage(message, HOUR_MS))).toEqual(garbage.map(() => undefined));
  });

  it.each([
    [5000, 5000],
    [1e300, HOUR_MS],
    [-1, 0],
  ])('of a failure with a Retry-After of %d ms is bounded to %d ms', (retryAfterMs, bounded) => {
    const error = GatewayError.of('ServiceUnavailable', { retryAfterMs });
    const decoded = decodeMessage(encodeMessage(id, { kind: 'failed', error }), HOUR_MS);
    expect(decoded?.message).toMatchObject({ kind: 'failed', error: { options: { retryAfterMs: bounded } } });
  });
});
