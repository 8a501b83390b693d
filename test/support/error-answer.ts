import { expect } from '@jest/globals';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import type { Gateway } from './gateway.ts';

/** An answer, independent of the client. */
export interface AnyAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** The envelope's content (docs/CONTRACT.md, section 4). */
export interface ErrorContent {
  readonly code: string;
  readonly message: string;
  readonly target?: string;
  readonly details?: readonly { readonly code: string; readonly message: string; readonly target?: string }[];
}

/** All fields that an error may have. */
const HEADERS = [
  ...[
    'content-type',
    'content-length',
    'cache-control',
    'x-correlation-id',
    'x-content-type-options',
    'date',
    'connection',
    'keep-alive',
  ],
  ...['www-authenticate', 'allow', 'retry-after', 'ratelimit', 'ratelimit-policy'],
];

const STACK = /\bat [^ ]+ \(|node_modules|file:\/\/|\.[jt]s:\d+/;

/** Expects this error of docs/CONTRACT.md, section 4, with exactly its headers. */
export function expectError(answer: AnyAnswer, status: number, code: string, message?: string): ErrorContent {
  const { headers } = answer;
  const { error, ...rest } = JSON.parse(answer.text) as { error: ErrorContent };
  expect({ status: answer.status, code: error.code }).toEqual({ status, code });
  if (message !== undefined) expect(error.message).toBe(message);
  expect(rest).toEqual({});
  expect(error.message).toMatch(/\S/);
  expect(Object.keys(error).filter((key) => !['code', 'message', 'target', 'details'].includes(key))).toEqual(
    [],
  );
  expectErrorHeaders(answer);
  expect(Number(headers['content-length'])).toBe(Buffer.byteLength(answer.text));
  expect(answer.text).not.toMatch(/<[a-z!/]/i);
  expect(answer.text).not.toMatch(STACK);
  return error;
}

/** Expects the headers of an error, also for HEAD. */
export function expectErrorHeaders({ status, headers }: Pick<AnyAnswer, 'status' | 'headers'>): void {
  expect(headers).toMatchObject({ 'content-type': 'application/json', 'cache-control': 'no-store' });
  expect(headers['x-correlation-id']).toMatch(/^[\x20-\x7e]{1,128}$/);
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['www-authenticate']).toBe(status === 401 ? 'Bearer' : undefined);
  expect(headers['allow']).toBe(status === 405 ? 'GET, HEAD' : undefined);
  if (status === 429 || status === 503) expect(headers['retry-after']).toMatch(/^[1-9]\d*$/);
  // A job that upstream fails to answer for is paused, and so are credentials that it refuses.
  else if (status <= 500) expect(headers['retry-after']).toBeUndefined();
  else expect(headers['retry-after'] ?? '1').toMatch(/^[1-9]\d*$/);
  expect(Object.keys(headers).filter((name) => !HEADERS.includes(name))).toEqual([]);
}

/** Expects an answer without secrets and internal addresses. */
export function expectNothingSecret(answer: AnyAnswer, gateway: Gateway, upstream: FakeUpstream): void {
  const whole = JSON.stringify(answer.headers) + answer.text;
  const { clientId, clientSecret } = upstream.settings;
  const tokens = upstream.calls.map(({ token }) => token).filter((token) => token !== '');
  const keys = gateway.callers.map(({ key }) => key);
  const secrets = [clientId, clientSecret, ...tokens, ...keys, new URL(upstream.url).host];
  expect(secrets.filter((secret) => whole.includes(secret))).toEqual([]);
}
