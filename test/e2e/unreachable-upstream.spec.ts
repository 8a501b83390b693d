import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import type { TokenFault } from '../fake-upstream/settings.ts';
import { type AnyAnswer, expectError, expectNothingSecret } from '../support/error-answer.ts';
import { Gateway } from '../support/gateway.ts';
import { freePort } from '../support/ports.ts';
import { metric } from '../support/reads.ts';
import { jobIds } from '../support/reads.ts';
import { startUpstream, startGateway } from '../support/rig.ts';

const TOO_MANY = 'More requests were received than the subscription rate-limit allows.';

async function read(gateway: Gateway, jobId: string): Promise<AnyAnswer> {
  return request(gateway.url).get(`/contextcapture/jobs/${jobId}`).set('Authorization', gateway.bearer());
}

/** A server in place of the API that answers every request with fixed bytes. */
class FixedServer {
  asked = 0;
  bytes = '';
  readonly #server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      this.asked++;
      socket.end(this.bytes, 'latin1');
    });
  });

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Makes its port refuse connections. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }
}

describe('an API that is not the iTwin API', () => {
  const server = new FixedServer();
  let upstream: FakeUpstream;
  let gateway: Gateway;

  beforeAll(async () => {
    upstream = await FakeUpstream.start();
    const ITWIN_API_URL = await server.start();
    gateway = await Gateway.start({ upstream, env: { ITWIN_API_URL, UPSTREAM_TIMEOUT: '5s' } });
  });

  afterAll(async () => {
    await gateway.stop();
    await server.stop();
    await upstream.stop();
  });

  it.each([
    ['no HTTP, tried once more', 'SSH-2.0-OpenSSH_9.6\r\n', 'UpstreamError', 2],
    ['nothing, tried once more', '', 'UpstreamError', 2],
    ['half a head, tried once more', 'HTTP/1.1 200 OK\r\nContent-Le', 'UpstreamError', 2],
    [
      'too long a head, tried once more',
      `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(99_999)}\r\n\r\n`,
      'UpstreamError',
      2,
    ],
    [
      'a body of broken chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"job\r\nzz\r\n',
      'InvalidUpstreamResponse',
      1,
    ],
  ] as const)('(it answers %s) gives 502', async (_, bytes, code, calls) => {
    server.bytes = bytes;
    server.asked = 0;
    expectError(await read(gateway, randomUUID()), 502, code);
    expect(server.asked).toBe(calls);
  });

  it('and refuses connections is retried once and gives 502 UpstreamError', async () => {
    await server.stop();
    const labels = { status: 'connection' };
    const before = await metric(gateway, 'gateway_upstream_requests_total', labels);
    const answer = await read(gateway, randomUUID());
    expectError(answer, 502, 'UpstreamError');
    expect(answer.text).not.toMatch(/ECONN|127\.0\.0\.1/);
    expect(await metric(gateway, 'gateway_upstream_requests_total', labels)).toBe(before + 2);
  });
});

describe('an API that becomes unavailable', () => {
  it('gives 502 UpstreamError, and copies are still served', async () => {
    const upstream = await startUpstream();
    const [known, other] = [upstream.addJob(), upstream.addJob()];
    const gateway = await startGateway({ upstream });
    expect((await read(gateway, known.id)).status).toBe(200);
    await upstream.stop();
    expectError(await read(gateway, other.id), 502, 'UpstreamError');
    expect((await read(gateway, known.id)).status).toBe(200);
  });
});

describe('a token that upstream refuses', () => {
  it('is retried within the patience, then gives 502 UpstreamAuthenticationFailed, never 401', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    upstream.fault({ kind: 'unauthorized' });
    const gateway = await startGateway({ upstream, env: { PATIENCE: '1s' } });
    const answer = await read(gateway, id);
    expectError(answer, 502, 'UpstreamAuthenticationFailed');
    expectNothingSecret(answer, gateway, upstream);
    // Pauses of 50, 100, 200 and 400 ms; with another one the sum exceeds a second.
    expect(upstream.count).toBeGreaterThanOrEqual(2);
    expect(upstream.count).toBeLessThanOrEqual(6);
    expect(upstream.tokenRequests).toHaveLength(1);
  });
});

/** Settings of fake upstream and gateway without a token. */
interface NoToken {
  readonly tokenFault?: TokenFault | null;
  readonly env?: Readonly<Record<string, string>>;
}

async function readWithoutToken({ tokenFault = null, env = {} }: NoToken): Promise<AnyAnswer> {
  const upstream = await startUpstream({ tokenFault });
  const { id } = upstream.addJob();
  const gateway = await startGateway({ upstream, env: { UPSTREAM_TIMEOUT: '5s', ...env } });
  const answer = await read(gateway, id);
  expectNothingSecret(answer, gateway, upstream);
  expect(upstream.count).toBe(0);
  return answer;
}

describe('a token endpoint', () => {
  it('that refuses the credentials gives 502 UpstreamAuthenticationFailed, without an upstream call', async () => {
    const env = { ITWIN_CLIENT_SECRET: 'wrong-secret-of-the-gateway' };
    const answer = await readWithoutToken({ env });
    expectError(answer, 502, 'UpstreamAuthenticationFailed');
    expect(answer.text).not.toContain(env.ITWIN_CLIENT_SECRET);
  });

  it('that fails in any way gives 503 ServiceUnavailable with Retry-After, without an upstream call', async () => {
    const faults: TokenFault[] = [
      { kind: 'status', status: 500, body: '<h1>oops</h1>', contentType: 'text/html' },
      { kind: 'status', status: 302, headers: { location: 'http://127.0.0.1:1/' } },
      { kind: 'status', status: 200, body: { token: 'x' } },
      { kind: 'hang' },
      { kind: 'reset' },
      { kind: 'refuse' },
      { kind: 'malformed' },
    ];
    const closed = `http://127.0.0.1:${await freePort()}/connect/token`;
    const ways: NoToken[] = [
      ...faults.map((tokenFault) => ({ tokenFault })),
      { env: { ITWIN_TOKEN_URL: closed } },
    ];
    const answers = await Promise.all(ways.map(readWithoutToken));
    for (const answer of answers) expectError(answer, 503, 'ServiceUnavailable');
  });

  it('with a Retry-After gives callers no earlier one', async () => {
    const tokenFault: TokenFault = { kind: 'status', status: 503, headers: { 'retry-after': '20' } };
    const answer = await readWithoutToken({ tokenFault });
    expectError(answer, 503, 'ServiceUnavailable');
    expect(Number(answer.headers['retry-after'])).toBe(20);
  });
});

describe('a rate limit of upstream', () => {
  it('with a Retry-After beyond the patience gives 429 after one call', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    upstream.fault({ kind: 'too-many', retryAfter: '600' });
    const gateway = await startGateway({ upstream, env: { PATIENCE: '60s' } });
    const answer = await read(gateway, id);
    expectError(answer, 429, 'TooManyRequests', TOO_MANY);
    expectNothingSecret(answer, gateway, upstream);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(500);
    expect(upstream.count).toBe(1);
  });

  it('as a 503 with Retry-After gives 502; for three jobs it closes the gate', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    upstream.fault({ kind: 'status', status: 503, headers: { 'retry-after': '600' } });
    const gateway = await startGateway({ upstream, env: { PATIENCE: '60s' } });
    for (const id of jobIds(3)) {
      const answer = await read(gateway, id);
      expectError(answer, 502, 'UpstreamError');
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(500);
    }
    const next = await read(gateway, randomUUID());
    expectError(next, 429, 'TooManyRequests', TOO_MANY);
    expect(Number(next.headers['retry-after'])).toBeGreaterThan(500);
    expect(upstream.count).toBe(3);
  });
});
