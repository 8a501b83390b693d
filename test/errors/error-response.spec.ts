import { BadRequestException, NotFoundException } from '@nestjs/common';
import { describe, expect, it } from '@jest/globals';
import { toErrorResponse } from '../../src/errors/error-response.ts';
import { GatewayError } from '../../src/errors/gateway-error.ts';

describe('an error response', () => {
  it.each([
    new Error('secret at /srv/app/main.js:1'),
    Object.assign(new TypeError('boom'), { config: { headers: { authorization: 'Bearer t0ken' } } }),
    'a string',
    undefined,
    { statusCode: 503, message: 'not an error' },
    Object.assign(new Error('internal'), { statusCode: 503 }),
  ])('reveals nothing about an unexpected error: %s', (thrown) => {
    expect(toErrorResponse(thrown)).toEqual({
      status: 500,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
      body: '{"error":{"code":"InternalServerError","message":"An unexpected error happened in the gateway."}}',
      unexpected: true,
    });
  });

  it.each([
    [new NotFoundException('Cannot GET /x'), 404, 'NotFound'],
    [new BadRequestException('x'), 400, 'InvalidRequest'],
    [Object.assign(new Error(), { statusCode: 414 }), 414, 'RequestTooLarge'],
    [Object.assign(new Error(), { statusCode: 431 }), 431, 'RequestTooLarge'],
    [Object.assign(new Error(), { statusCode: 415 }), 400, 'InvalidRequest'],
  ])('maps errors of the framework by their status: %s', (thrown, status, code) => {
    const answer = toErrorResponse(thrown);
    expect(answer.status).toBe(status);
    expect(answer.body).toContain(`"code":"${code}"`);
    expect(answer.body).not.toContain('Cannot GET');
    expect(answer.unexpected).toBe(false);
  });

  it.each([
    [0, '1'],
    [1, '1'],
    [1000, '1'],
    [1001, '2'],
    [59_999.5, '60'],
  ])('rounds a Retry-After of %d ms up to whole seconds, at least 1', (retryAfterMs, seconds) => {
    const answer = toErrorResponse(GatewayError.of('TooManyRequests', { retryAfterMs }));
    expect(answer.headers['retry-after']).toBe(seconds);
  });
});
