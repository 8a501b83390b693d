import { once } from 'node:events';
import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { expectError } from '../support/error-answer.ts';
import { Gateway } from '../support/gateway.ts';
import { atEnd, startGateway } from '../support/rig.ts';
import { answerTo, converse, open } from '../support/wire.ts';

const HOST = 'Host: gateway\r\n';
const connectRequest = `CONNECT example.com:443 HTTP/1.1\r\n${HOST}\r\n`;
/** Ten megabytes, beyond every limit. */
const LARGE = 10_000_000;

let upstream: FakeUpstream;
let gateway: Gateway;
let job: string;
let key: string;

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  gateway = await Gateway.start({ upstream });
  key = `Authorization: ${gateway.bearer()}\r\n`;
});

afterAll(async () => {
  await gateway.stop();
  await upstream.stop();
});

beforeEach(() => {
  upstream.clear();
  job = `/contextcapture/jobs/${upstream.addJob().id}`;
});

const send = (bytes: string | Buffer) => answerTo(gateway.url, bytes);
const statuses = (answers: readonly { readonly status: number }[]): number[] =>
  answers.map(({ status }) => status);

describe('bytes that are not an HTTP request', () => {
  it.each([
    ['nothing of HTTP', () => 'hello\r\n\r\n'],
    ['a TLS handshake', () => Buffer.from('16030100c8010000c40303aabbccdd0d0a0d0a', 'hex')],
    ['zeros', () => Buffer.alloc(64)],
    ['the preface of HTTP/2', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['an unknown method', () => `FETCH ${job} HTTP/1.1\r\n${HOST}${key}\r\n`],
    ['a method in lower case', () => `get ${job} HTTP/1.1\r\n${HOST}${key}\r\n`],
    ['an unknown version', () => `GET ${job} HTTP/1.2\r\n${HOST}${key}\r\n`],
    ['a blank in the path', () => `GET ${job} x HTTP/1.1\r\n${HOST}${key}\r\n`],
    [
      'a path that is not ASCII',
      () => Buffer.from(`GET /contextcapture/jobs/\u00fc HTTP/1.1\r\n${HOST}\r\n`),
    ],
    ['a header without a colon', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}nonsense\r\n\r\n`],
    ['a NUL in a header', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}X-A: a\0b\r\n\r\n`],
    ['a folded header', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}X-A: a\r\n b\r\n\r\n`],
    ['a negative length', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}Content-Length: -1\r\n\r\n`],
    ['two lengths', () => `GET ${job} HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`],
    [
      'a length and chunks',
      () => `GET ${job} HTTP/1.1\r\n${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
    ],
    ['an unknown coding', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}Transfer-Encoding: zip\r\n\r\n`],
    ['HTTP/1.1 without Host', () => `GET ${job} HTTP/1.1\r\n${key}\r\n`],
    ['two Hosts', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}HOST: other\r\n\r\n`],
    ['one Host twice', () => `GET ${job} HTTP/1.1\r\n${HOST}${HOST}${key}\r\n`],
    ['HTTP/1.0 with two Hosts', () => `GET ${job} HTTP/1.0\r\n${HOST}${key}host: other\r\n\r\n`],
    ['two Hosts for no route', () => `GET /nowhere HTTP/1.1\r\n${HOST}Host: other\r\n\r\n`],
  ])('(%s) get 400 InvalidRequest, and the connection is closed', async (_, bytes) => {
    const answer = await send(bytes());
    expectError(answer, 400, 'InvalidRequest');
    expect(answer.headers['connection']).toBe('close');
    expect(upstream.count).toBe(0);
  });

  it('(two Hosts) are refused although memory could answer them', async () => {
    const read = (fields: string) => send(`GET ${job} HTTP/1.1\r\n${fields}${key}\r\n`);
    expect((await read(HOST)).status).toBe(200);
    expect((await read(HOST)).headers['cache-status']).toMatch(/hit/);
    expectError(await read(`${HOST}Host: other\r\n`), 400, 'InvalidRequest');
    // Neither a value nor a longer name counts as a Host line.
    expect((await read(`${HOST}X-A: host\r\nHosts: a\r\nDate: a\r\n`)).status).toBe(200);
  });
});

describe('a too large request', () => {
  it.each([
    ['414', 'a URL over 8 KiB', 414, () => `GET ${job}?${'a'.repeat(8193)} HTTP/1.1\r\n${HOST}${key}\r\n`],
    [
      '431',
      'a head over 16 KiB',
      431,
      () => `GET ${job} HTTP/1.1\r\n${HOST}${key}X-A: ${'a'.repeat(16_384)}\r\n\r\n`,
    ],
    ['431', 'a URL over 16 KiB', 431, () => `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n${HOST}\r\n`],
    [
      '413',
      'a body of 10 MB with GET',
      413,
      () => `GET ${job} HTTP/1.1\r\n${HOST}${key}Content-Length: ${LARGE}\r\n\r\n`,
    ],
    [
      '413',
      'a body of 10 MB with POST',
      413,
      () => `POST ${job} HTTP/1.1\r\n${HOST}${key}Content-Length: ${LARGE}\r\n\r\n`,
    ],
    [
      '413',
      'a body of 10 MB elsewhere',
      413,
      () => `POST / HTTP/1.1\r\n${HOST}Content-Length: ${LARGE}\r\n\r\n`,
    ],
  ])('gets %s RequestTooLarge: %s', async (_, __, status, bytes) => {
    const answer = await send(bytes());
    expectError(answer, status, 'RequestTooLarge');
    expect(upstream.count).toBe(0);
  });

  it('gets its answer although the client sends everything before it reads', async () => {
    for (let attempt = 0; attempt < 10; attempt++) expect(await post(Buffer.alloc(LARGE))).toBe(413);
  });

  it('gets no 100 Continue', async () => {
    const bytes = `POST ${job} HTTP/1.1\r\n${HOST}${key}Expect: 100-continue\r\nContent-Length: ${LARGE}\r\n\r\n`;
    const { answers, interim } = await converse(gateway.url, bytes);
    expect(statuses(answers)).toEqual([413]);
    expect(interim).toEqual([]);
  });

  it('is one beyond the limits: a request at the limit is accepted', async () => {
    const url = `${job}?${'a'.repeat(8192 - job.length - 1)}`;
    expect((await send(`GET ${url} HTTP/1.1\r\n${HOST}${key}\r\n`)).status).toBe(200);
    const field = `X-A: ${'a'.repeat(15_000)}\r\n`;
    expect((await send(`GET ${job} HTTP/1.1\r\n${HOST}${key}${field}\r\n`)).status).toBe(200);
  });
});

describe('an unusual request', () => {
  it.each([
    ['its URL is absolute', () => `GET http://gateway${job} HTTP/1.1\r\n${HOST}${key}\r\n`],
    [
      'its URL is absolute in another way',
      () => `GET HTTP://gateway:80${job}?a="b"#c HTTP/1.1\r\n${HOST}${key}\r\n`,
    ],
    ['its URL has a query', () => `GET ${job}?a=b&c=%zz HTTP/1.1\r\n${HOST}${key}\r\n`],
    ['it is HTTP/1.0', () => `GET ${job} HTTP/1.0\r\n${key}\r\n`],
    ['it expects nonsense', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}Expect: nonsense\r\n\r\n`],
    [
      'it wants an upgrade',
      () => `GET ${job} HTTP/1.1\r\n${HOST}${key}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`,
    ],
    ['it has a small body', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}Content-Length: 2\r\n\r\n{}`],
    ['its body never comes', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}Content-Length: 2\r\n\r\n`],
    [
      'its body comes in chunks',
      () => `GET ${job} HTTP/1.1\r\n${HOST}${key}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['it has empty lines before it', () => `\r\n\r\nGET ${job} HTTP/1.1\r\n${HOST}${key}\r\n`],
    ['it names a version', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}Accept-Version: 99.x\r\n\r\n`],
    [
      'its header names are those of objects',
      () => `GET ${job} HTTP/1.1\r\n${HOST}${key}__proto__: a\r\nconstructor: b\r\n\r\n`,
    ],
  ])('is served: %s', async (_, bytes) => {
    const answer = await send(bytes());
    expect(answer.status).toBe(200);
    expect(answer.text).toBe(upstream.bodyOf(job.slice(-36)).toString());
  });

  it('CONNECT gets 405 MethodNotAllowed', async () => {
    expectError(await send(connectRequest), 405, 'MethodNotAllowed');
  });

  it.each([
    ['CONNECT', () => connectRequest],
    ['CONNECT behind a read under way', () => `GET ${job} HTTP/1.1\r\n${HOST}${key}\r\n${connectRequest}`],
    ['no HTTP', () => 'hello\r\n\r\n'],
  ])('does no harm when its connection is reset: %s', async (_, bytes) => {
    upstream.fault({ kind: 'slow', ms: 50 }, { jobId: job.slice(-36) });
    for (let attempt = 0; attempt < 20; attempt++) {
      const socket = await open(gateway.url);
      socket.write(bytes(), () => socket.resetAndDestroy());
      await once(socket, 'close');
    }
    await delay(100);
    expect((await send(`GET ${job} HTTP/1.1\r\n${HOST}${key}\r\n`)).status).toBe(200);
  });

  it('OPTIONS * gets 404 NotFound', async () => {
    expectError(await send(`OPTIONS * HTTP/1.1\r\n${HOST}\r\n`), 404, 'NotFound');
  });

  it.each(['%', '%z', '%zz', '%ff', '%c3%28', '%E0%A4%A', 'a%2', '%u0041'])(
    'a job path with the invalid escape %s gets 401 without a key, and 404 JobNotFound with one',
    async (id) => {
      const path = `/contextcapture/jobs/${id}`;
      expectError(await send(`GET ${path} HTTP/1.1\r\n${HOST}\r\n`), 401, 'HeaderNotFound');
      expectError(await send(`GET ${path} HTTP/1.1\r\n${HOST}${key}\r\n`), 404, 'JobNotFound');
      expect(upstream.count).toBe(0);
    },
  );
});

describe('pipelined requests', () => {
  const get = (path: string, headers = key): string => `GET ${path} HTTP/1.1\r\n${HOST}${headers}\r\n`;

  it('are answered in order', async () => {
    upstream.fault({ kind: 'slow', ms: 200 }, { jobId: job.slice(-36) });
    const { answers } = await converse(gateway.url, get(job) + get('/nothing') + get(job, '') + get(job), 4);
    expect(statuses(answers)).toEqual([200, 404, 401, 200]);
    expect(upstream.count).toBe(1);
  });

  it('are answered up to the invalid one, which gets 400', async () => {
    const { answers } = await converse(gateway.url, `${get('/nothing')}hello\r\n\r\n`, 2);
    expect(statuses(answers)).toEqual([404, 400]);
    expectError(answers[1]!, 400, 'InvalidRequest');
  });

  it.each([
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['CONNECT', connectRequest, 405],
    ['too large', `GET / HTTP/1.1\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
  ])('are answered in order while a read is in progress and the next is %s', async (_, next, status) => {
    upstream.fault({ kind: 'slow', ms: 200 }, { jobId: job.slice(-36) });
    const { answers } = await converse(gateway.url, get(job) + next, 2);
    expect(statuses(answers)).toEqual([200, status]);
  });
});

describe('endless bytes after an invalid request', () => {
  it('get one answer after the read before them', async () => {
    upstream.fault({ kind: 'hold' }, { jobId: job.slice(-36) });
    const socket = await open(gateway.url);
    let text = '';
    socket.setNoDelay().on('data', (chunk) => (text += String(chunk)));
    socket.write(`GET ${job} HTTP/1.1\r\n${HOST}${key}\r\n`);
    await upstream.arrived(1);
    for (let chunk = 0; chunk < 30; chunk++) {
      socket.write('hello\r\n\r\n');
      await delay(5);
    }
    upstream.clearFaults();
    await once(socket, 'close');
    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400']);
    expect(gateway.output).not.toContain('MaxListenersExceededWarning');
  });
});

describe('a connection without a complete request', () => {
  it('gets 408 RequestTimeout after 10 s, and is closed', async () => {
    const heads = ['GET', `GET ${job} HTTP/1.1\r\n${HOST}`, `GET ${job} HTTP/1.1\r\n${HOST}${key}X-A: a`];
    const conversations = await Promise.all(heads.map((head) => converse(gateway.url, head)));
    for (const { answers, tookMs } of conversations) {
      expect(answers).toHaveLength(1);
      expectError(answers[0]!, 408, 'RequestTimeout');
      expect(tookMs).toBeGreaterThanOrEqual(9_900);
    }
    expect(upstream.count).toBe(0);
  });

  it.each([
    ['nothing', ''],
    ['half a request', `GET / HTTP/1.1\r\n${HOST}`],
  ])('does not delay the end of the gateway: it has sent %s', async (_, bytes) => {
    const ending = await startGateway({ upstream, env: { PATIENCE: '2s', UPSTREAM_TIMEOUT: '2s' } });
    const socket = await open(ending.url);
    atEnd(async () => socket.destroy());
    socket.write(bytes);
    // Once another connection is answered, this one has been accepted too.
    await answerTo(ending.url, `GET / HTTP/1.1\r\n${HOST}\r\n`);
    ending.signal('SIGTERM');
    expect(await ending.exited).toBe(0);
  });
});

/** Sends a POST with Node's client. @returns the status */
function post(body: Buffer): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const headers = { authorization: gateway.bearer(), 'content-length': body.length };
  const sent = request(gateway.url + job, { method: 'POST', headers }, (response) => {
    response.resume().on('error', reject);
    resolve(response.statusCode ?? 0);
  });
  sent.on('error', reject).end(body);
  return promise;
}
