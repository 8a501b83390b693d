import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { AxiosError, AxiosHeaders } from 'axios';
import { codeOf, safeCause } from '../../src/errors/cause.ts';
import { toErrorResponse } from '../../src/errors/error-response.ts';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { withCallOutcome, UpstreamFailure } from '../../src/upstream/upstream-failure.ts';

const coded = (code: unknown, message = 'no such thing'): Error =>
  Object.assign(new Error(message), { code });

describe('the code of an error', () => {
  it('is that of its innermost cause that has one', () => {
    expect(codeOf(coded('ECONNREFUSED'))).toBe('ECONNREFUSED');
    expect(codeOf(new Error('it failed', { cause: coded('CERT_HAS_EXPIRED') }))).toBe('CERT_HAS_EXPIRED');
    const wrapper = Object.assign(coded('ERR_NETWORK'), { cause: coded('ENOTFOUND') });
    expect(codeOf(wrapper)).toBe('ENOTFOUND');
    expect(codeOf(new AggregateError([coded('ETIMEDOUT'), coded('EHOSTUNREACH')]))).toBe('ETIMEDOUT');
  });

  it.each([
    undefined,
    null,
    'ECONNREFUSED',
    {},
    new Error('x'),
    coded(20),
    coded('a b'),
    coded('A'.repeat(99)),
  ])('is missing if nothing has the form of a code: %p', (error) => {
    expect(codeOf(error)).toBeUndefined();
  });

  it('is found in a circular chain of causes', () => {
    const [one, other] = [coded('EPIPE'), new Error('it')];
    Object.assign(one, { cause: other });
    other.cause = one;
    expect(codeOf(other)).toBe('EPIPE');
  });
});

describe('a safe cause', () => {
  const config = {
    headers: new AxiosHeaders({ authorization: 'Bearer top-secret' }),
    url: 'http://inside.example',
  };
  const library = new AxiosError('connect ECONNREFUSED inside.example:443', 'ECONNREFUSED', config, {
    socket: {},
  });
  Object.assign(library, { syscall: 'connect' });

  it('has name, code and system call of the library’s error, and nothing of the request', () => {
    const cause = safeCause(library);
    expect(cause).toMatchObject({
      name: 'AxiosError',
      code: 'ECONNREFUSED',
      message: 'connect ECONNREFUSED',
    });
    expect(inspect(cause, { depth: 9, showHidden: true })).not.toMatch(/top-secret|inside\.example/);
    expect(safeCause(cause)).toBe(cause);
  });

  it('is the cause of the gateway’s own error, and callers never see it', () => {
    const cause = safeCause(library);
    const failure = new UpstreamFailure(
      { kind: 'transient', outcome: { status: 'connection' } },
      GatewayError.of('UpstreamError', { cause }),
    );
    expect(failure.cause).toBe(cause);
    expect(
      withCallOutcome(GatewayError.of('ServiceUnavailable', { cause: failure }), { status: 500 }).cause,
    ).toBe(failure);
    expect(JSON.stringify(toErrorResponse(failure))).not.toMatch(/ECONNREFUSED|cause|connect/);
    expect('cause' in GatewayError.of('UpstreamError')).toBe(false);
  });
});
