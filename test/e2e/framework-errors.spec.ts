import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { type AnyAnswer, expectError, expectNothingSecret } from '../support/error-answer.ts';
import { Gateway } from '../support/gateway.ts';
import { answerTo } from '../support/wire.ts';

let upstream: FakeUpstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  gateway = await Gateway.start({ upstream });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.stop();
});

beforeEach(() => {
  upstream.clear();
});

/** A request with a method or a header that few clients would send. */
function ask(method: string, target: string, ...headers: string[]): Promise<AnyAnswer> {
  return answerTo(
    gateway.url,
    [`${method} ${target} HTTP/1.1`, 'Host: gateway', ...headers, '', ''].join('\r\n'),
  );
}

const OTHER_METHODS = ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND', 'TRACE', 'M-SEARCH'];

describe('a method other than GET and HEAD', () => {
  it.each([...OTHER_METHODS, 'QUERY'])(
    '%s of a job gets 405 with Allow, without an upstream call',
    async (method) => {
      const { id } = upstream.addJob();
      for (const asked of [id, 'no-uuid']) {
        const answer = await ask(
          method,
          `/contextcapture/jobs/${asked}`,
          `Authorization: ${gateway.bearer()}`,
        );
        expectError(answer, 405, 'MethodNotAllowed');
        expectNothingSecret(answer, gateway, upstream);
      }
      expect(upstream.count).toBe(0);
    },
  );

  it.each([...OTHER_METHODS, 'QUERY'])('%s of a job gets 401 first', async (method) => {
    const { id } = upstream.addJob();
    expectError(await ask(method, `/contextcapture/jobs/${id}`), 401, 'HeaderNotFound');
    const wrong = await ask(method, `/contextcapture/jobs/${id}`, 'Authorization: Bearer wrong');
    expectError(wrong, 401, 'Unauthorized');
  });

  it.each(['/health/live', '/health/ready', '/metrics'])('of %s gets 405 with Allow', async (path) => {
    for (const method of [...OTHER_METHODS, 'QUERY'])
      expectError(await ask(method, path), 405, 'MethodNotAllowed');
  });

  it.each(['application/json', 'multipart/form-data', 'text/plain', '///', ';', 'x'])(
    'gets 405 whatever the type of its body: %s',
    async (type) => {
      const { id } = upstream.addJob();
      const answer = await request(gateway.url)
        .post(`/contextcapture/jobs/${id}`)
        .set('Authorization', gateway.bearer())
        .set('Content-Type', type)
        .send('{"job":');
      expectError(answer, 405, 'MethodNotAllowed');
    },
  );
});

describe('another path', () => {
  it.each([
    '/',
    '/favicon.ico',
    '/contextcapture',
    '/contextcapture/jobs',
    '/contextcapture/jobs/',
    '/contextcapture/jobs/3fa85f64-5717-4562-b3fc-2c963f66afa6/outputs',
    '/contextcapture/jobs/3fa85f64-5717-4562-b3fc-2c963f66afa6/',
    '/ContextCapture/jobs/3fa85f64-5717-4562-b3fc-2c963f66afa6',
    '//contextcapture/jobs/3fa85f64-5717-4562-b3fc-2c963f66afa6',
    '/contextcapture/jobs/../../metrics',
    '/health',
    '/metrics/',
    '/%zz',
    '/%00',
    '/__proto__',
    '/.env',
  ])('%s gets 404 NotFound for any method, with or without a key, without an upstream call', async (path) => {
    for (const method of ['GET', ...OTHER_METHODS]) {
      expectError(await ask(method, path), 404, 'NotFound');
      expectError(await ask(method, path, `Authorization: ${gateway.bearer()}`), 404, 'NotFound');
    }
    expect(upstream.count).toBe(0);
  });

  it('gets 404 NotFound for QUERY', async () => {
    expectError(await ask('QUERY', '/nothing'), 404, 'NotFound');
  });

  it.each(['application/json', 'multipart/form-data', 'text/plain', '///', ';', 'x'])(
    'gets 404 NotFound whatever the type of the body: %s',
    async (type) => {
      const answer = await request(gateway.url).post('/nothing').set('Content-Type', type).send('{"job":');
      expectError(answer, 404, 'NotFound');
    },
  );
});

describe('the correlation id of an error', () => {
  it.each(['a', 'x'.repeat(128), 'with blanks and {"signs"}'])('is that of the request: %s', async (id) => {
    const answers = await Promise.all([
      ask('GET', '/nothing', `X-Correlation-Id: ${id}`),
      ask('POST', '/metrics', `X-Correlation-Id: ${id}`),
      ask('GET', '/contextcapture/jobs/x', `X-Correlation-Id: ${id}`),
      ask('POST', '/metrics', `X-Correlation-Id: ${id}`, 'Content-Length: 10000000'),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([404, 405, 401, 413]);
    for (const { headers } of answers) expect(headers['x-correlation-id']).toBe(id);
  });

  it('is that of the request for CONNECT as well', async () => {
    const { headers } = await ask('CONNECT', 'example.com:443', 'X-Correlation-Id: mine');
    expect(headers['x-correlation-id']).toBe('mine');
  });

  it.each(['', 'x'.repeat(129), 'caf\u00e9', 'tab\there'])('is a new UUID instead of: %j', async (id) => {
    const { headers } = await ask('GET', '/nothing', `X-Correlation-Id: ${id}`);
    expect(headers['x-correlation-id']).toMatch(/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/);
  });
});
