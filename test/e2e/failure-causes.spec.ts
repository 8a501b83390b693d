import type { Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { makeCertificates } from '../support/certificates.ts';
import { Collector, type Span } from '../support/collector.ts';
import { expectNothingSecret } from '../support/error-answer.ts';
import type { Gateway } from '../support/gateway.ts';
import { issuerKey, signed } from '../support/issuer.ts';
import { freePort } from '../support/ports.ts';
import { RawServer } from '../support/raw-server.ts';
import { errorOf, jobIds, readJob, type Seen } from '../support/reads.ts';
import { startUpstream, startGateway, startRedis, temporaryFolder } from '../support/rig.ts';
import { until } from '../support/until.ts';

const BROKEN = 'upstream call failed';
const CLIENT = 3;
const OK = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n';

type Env = Readonly<Record<string, string>>;

/** A gateway with tracing; a failed read with its log lines and spans. */
async function failedRead(env: Env) {
  const [collector, upstream] = [await Collector.start(), await startUpstream()];
  const gateway = await startGateway({
    upstream,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, UPSTREAM_TIMEOUT: '5s', ...env },
  });
  const [id = ''] = jobIds(1);
  const seen = await readJob(gateway, id);
  const text = seen.body.toString();
  expectNothingSecret({ ...seen, text }, gateway, upstream);
  const hosts = [env['ITWIN_API_URL'], env['ITWIN_TOKEN_URL']].flatMap((url) =>
    url ? new URL(url).host : [],
  );
  for (const host of [...hosts, 'localhost', '127.0.0.1']) expect(text).not.toContain(host);
  const line = await gateway.logged(({ msg, jobId }) => msg === 'read' && jobId === id);
  return { collector, upstream, gateway, id, seen, line };
}

/** Expects an answer without codes or messages of libraries. */
function expectNoCode(seen: Seen, code: RegExp): void {
  const whole = JSON.stringify(seen.headers) + seen.body.toString();
  expect(whole).not.toMatch(code);
  expect(whole).not.toMatch(/ECONN|ENOTFOUND|EAI_|CERT_|HPE_|certificate|getaddrinfo|socket hang up/i);
}

async function callSpan(collector: Collector): Promise<Span> {
  const found = (): Span | undefined =>
    collector.spans.find(({ kind, name }) => kind === CLIENT && name !== 'POST token');
  await until('the span of the call has come', () => found() !== undefined, 10_000);
  return found()!;
}

/** @param start resolves with the address of an API that fails, and further settings */
type Fault = readonly [what: string, code: RegExp, start: () => Promise<readonly [url: string, env?: Env]>];

const answering = async (onRequest: (socket: Socket) => void): Promise<readonly [string]> => {
  const server = await RawServer.start();
  server.onRequest = onRequest;
  return [server.url];
};

const unreachable: Fault[] = [
  ['refuses connections', /^ECONNREFUSED$/, async () => [`http://127.0.0.1:${await freePort()}`]],
  // An unreachable resolver gives EAI_AGAIN.
  ['has no address', /^(ENOTFOUND|EAI_AGAIN)$/, async () => ['http://no-such-host.invalid']],
  [
    'has a certificate that has expired',
    /^CERT_HAS_EXPIRED$/,
    async () => {
      const certificates = makeCertificates(temporaryFolder(), 'DNS:localhost', -1);
      const { url } = await RawServer.start(certificates);
      return [url, { NODE_EXTRA_CA_CERTS: certificates.authority }];
    },
  ],
  [
    'has a certificate of another authority',
    /^UNABLE_TO_VERIFY_LEAF_SIGNATURE$/,
    async () => [(await RawServer.start(makeCertificates(temporaryFolder()))).url],
  ],
  [
    'answers with too long a head',
    /^HPE_HEADER_OVERFLOW$/,
    () => answering((socket) => socket.end(`HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(99_999)}\r\n\r\n`)),
  ],
  ['answers what is no HTTP', /^HPE_/, () => answering((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n'))],
  ['resets the connection', /^ECONNRESET$/, () => answering((socket) => socket.resetAndDestroy())],
];

const cutOff: Fault[] = [
  [
    'is cut off',
    /^ECONNRESET$/,
    () => answering((socket) => socket.end(`${OK}Content-Length: 100\r\n\r\n{"job":`)),
  ],
  [
    'is of broken chunks',
    /^HPE_INVALID_CHUNK_SIZE$/,
    () => answering((socket) => socket.end(`${OK}Transfer-Encoding: chunked\r\n\r\n5\r\n{"job\r\nzz\r\n`)),
  ],
];

describe('a call to an API that', () => {
  it.each(unreachable)(
    '%s is reported with its code in log and span, not to the caller',
    async (_, code, start) => {
      const [url, env = {}] = await start();
      const { collector, gateway, id, seen, line } = await failedRead({ ITWIN_API_URL: url, ...env });
      expect([seen.status, errorOf(seen).code]).toEqual([502, 'UpstreamError']);
      expectNoCode(seen, code);
      const outcome = { status: 'connection', code: expect.stringMatching(code) as unknown };
      expect(line).toMatchObject({ status: 502, outcome: 'error', upstream: outcome });
      // From both attempts.
      await until('both are logged', () => brokenCalls(gateway, id).length === 2);
      for (const broken of brokenCalls(gateway, id))
        expect(broken).toMatchObject({ level: 40, upstream: outcome });
      expect(await callSpan(collector)).toMatchObject({
        attributes: { 'error.type': 'connection', 'gateway.error.code': outcome.code },
        statusMessage: outcome.code,
      });
    },
  );

  it('does not answer in time is logged as a timeout', async () => {
    const [url] = await answering(() => undefined);
    const { gateway, id, line } = await failedRead({ ITWIN_API_URL: url, UPSTREAM_TIMEOUT: '2s' });
    expect(line).toMatchObject({ status: 504, upstream: { status: 'timeout' } });
    expect(brokenCalls(gateway, id)).toEqual([expect.objectContaining({ upstream: { status: 'timeout' } })]);
  });
});

describe('an answer that', () => {
  it.each(cutOff)(
    '%s is reported with its code in log and span, not to the caller',
    async (_, code, start) => {
      const [url] = await start();
      const { collector, gateway, id, seen, line } = await failedRead({ ITWIN_API_URL: url });
      expect([seen.status, errorOf(seen).code]).toEqual([502, 'InvalidUpstreamResponse']);
      expectNoCode(seen, code);
      const outcome = { status: 200, code: expect.stringMatching(code) as unknown };
      expect(line).toMatchObject({ status: 502, upstream: outcome });
      expect(brokenCalls(gateway, id)).toEqual([expect.objectContaining({ upstream: outcome })]);
      expect((await callSpan(collector)).attributes).toMatchObject({
        'error.type': 'InvalidUpstreamResponse',
        'http.response.status_code': 200,
        'gateway.error.code': outcome.code,
      });
    },
  );
});

describe('a refresh that fails', () => {
  it('is logged with its code although its caller is served a copy', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob({ script: [{ state: 'active' }] });
    const gateway = await startGateway({ upstream, env: { ACTIVE_FRESH: '0ms' } });
    expect((await readJob(gateway, id)).status).toBe(200);
    await upstream.stop();
    expect((await readJob(gateway, id)).status).toBe(200);
    const line = await gateway.logged(({ msg }) => msg === BROKEN);
    expect(line).toMatchObject({ jobId: id, upstream: { status: 'connection', code: 'ECONNREFUSED' } });
  });
});

describe('a token endpoint that', () => {
  it.each(unreachable)(
    '%s is reported with its code in log and span, not to callers',
    async (_, code, start) => {
      const [url, env = {}] = await start();
      const ITWIN_TOKEN_URL = `${url}/connect/token`;
      const { collector, gateway, seen } = await failedRead({ ITWIN_TOKEN_URL, ...env });
      expect([seen.status, errorOf(seen).code]).toEqual([503, 'ServiceUnavailable']);
      expectNoCode(seen, code);
      const line = await gateway.logged(({ msg }) => msg === 'token request failed');
      expect(line).toMatchObject({ level: 50, code: expect.stringMatching(code) as unknown });
      expect(JSON.stringify(line)).not.toContain(new URL(url).host);
      const [span] = await collector.named('POST token');
      expect(span?.attributes).toMatchObject({
        'error.type': 'unavailable',
        'gateway.error.code': line['code'],
      });
    },
  );
});

describe('the keys of an issuer', () => {
  it('that cannot be fetched are logged with the code', async () => {
    const issuer = `http://127.0.0.1:${await freePort()}`;
    const env = { AUTH: 'jwt', JWT_ISSUER: issuer, JWT_AUDIENCE: 'gateway' };
    const gateway = await startGateway({ upstream: await startUpstream(), env });
    const token = await signed({ iss: issuer }, {}, await issuerKey('one'));
    const seen = await readJob(gateway, jobIds(1)[0]!, { caller: { name: 'token', key: token, iTwins: [] } });
    expect([seen.status, errorOf(seen).code]).toEqual([503, 'ServiceUnavailable']);
    expectNoCode(seen, /127\.0\.0\.1/);
    const line = await gateway.logged(({ msg }) => /issuer key request failed/.test(msg ?? ''));
    expect(line).toMatchObject({ level: 50, code: 'ECONNREFUSED' });
    expect(JSON.stringify(line)).not.toContain(new URL(issuer).host);
  });
});

describe('the circuit', () => {
  it('logs why the last call failed when it opens', async () => {
    const upstream = await startUpstream();
    const ITWIN_API_URL = `http://127.0.0.1:${await freePort()}`;
    const gateway = await startGateway({ upstream, env: { ITWIN_API_URL } });
    await Promise.all(jobIds(10).map((id) => readJob(gateway, id)));
    const line = await gateway.logged(({ msg }) => msg === 'circuit opened');
    expect(line).toMatchObject({ upstream: 'connection', code: 'ECONNREFUSED' });
  });
});

describe('a lost Redis', () => {
  it('is logged with its reason, by the budget and by the connection', async () => {
    const [upstream, redis] = [await startUpstream(), await startRedis()];
    const gateway = await startGateway({ upstream, env: { REDIS_URL: redis.url } });
    await redis.kill();
    const away = 'shared budget unavailable, using local share';
    const { reason } = await gateway.logged(({ msg }) => msg === away);
    expect(reason).toMatch(/^(connection closed|not connected|timeout|ECONNRESET|EPIPE)$/);
  });
});

/** Log lines of broken calls for a job. */
function brokenCalls({ log }: Gateway, id: string) {
  return log.filter(({ msg, jobId }) => msg === BROKEN && jobId === id);
}
