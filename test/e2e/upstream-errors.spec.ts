import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import request from 'supertest';
import type { FaultSpec, StatusFault } from '../fake-upstream/faults.ts';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import {
  type AnyAnswer,
  type ErrorContent,
  expectError,
  expectErrorHeaders,
  expectNothingSecret,
} from '../support/error-answer.ts';
import { Gateway } from '../support/gateway.ts';

const TIMEOUT_MS = 3000;

let upstream: FakeUpstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  gateway = await Gateway.start({ upstream, env: { UPSTREAM_TIMEOUT: `${TIMEOUT_MS}ms` } });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.stop();
});

beforeEach(() => {
  upstream.clear();
  upstream.clearFaults();
});

function read(jobId: string): request.Test {
  return request(gateway.url).get(`/contextcapture/jobs/${jobId}`).set('Authorization', gateway.bearer());
}

/** Reads a job with a fault, expects the error, and expects that it was not cached. */
async function readThrough(
  fault: FaultSpec,
  status: number,
  code: string,
  calls: number,
): Promise<{ readonly error: ErrorContent; readonly answer: AnyAnswer }> {
  const { id } = upstream.addJob();
  upstream.fault(fault, { jobId: id });
  const answer = await read(id);
  const error = expectError(answer, status, code);
  expectNothingSecret(answer, gateway, upstream);
  expect(upstream.callsFor(id)).toHaveLength(calls);
  upstream.clearFaults();
  expect((await read(id)).status).toBe(200);
  return { error, answer };
}

const HTML = '<html><head><title>Bad</title></head><body><h1>nginx</h1> at proxy-17.internal</body></html>';
const enveloped = (status: number, error: object): StatusFault => ({
  kind: 'status',
  status,
  body: { error },
});
const bare = (status: number, body?: string | object): FaultSpec => ({
  kind: 'status',
  status,
  ...(body !== undefined && { body }),
});
const html = (status: number): FaultSpec => ({
  kind: 'status',
  status,
  body: HTML,
  contentType: 'text/html',
});

const RELAYED = [
  [400, 'InvalidRequest'],
  [403, 'InsufficientPermissions'],
  [409, 'Conflict'],
  [422, 'InvalidContextCaptureRequest'],
] as const;

describe.each(RELAYED)('an upstream %i', (status, ownCode) => {
  it('keeps code, message, target and details, and nothing else', async () => {
    const fault = enveloped(status, {
      code: 'SomeCode',
      message: 'The words of the API: 1 < 2.',
      target: 'inputs',
      more: 'unknown',
      details: [
        {
          code: 'First',
          message: 'One.',
          target: 'inputs[0]',
          innerError: { code: 'Deep', trace: 'secret' },
        },
        { code: 'Second', message: 'Two.', target: null },
      ],
    });
    const { error } = await readThrough(fault, status, 'SomeCode', 1);
    expect(error).toEqual({
      code: 'SomeCode',
      message: 'The words of the API: 1 < 2.',
      target: 'inputs',
      details: [
        { code: 'First', message: 'One.', target: 'inputs[0]' },
        { code: 'Second', message: 'Two.' },
      ],
    });
  });

  it('omits a target and details that are null', async () => {
    const fault = enveloped(status, { code: 'SomeCode', message: 'Words.', target: null, details: null });
    const { error } = await readThrough(fault, status, 'SomeCode', 1);
    expect(error).toEqual({ code: 'SomeCode', message: 'Words.' });
  });

  it('loses only invalid fields', async () => {
    const message = `Too much: ${'x'.repeat(3000)}`;
    const detail = { code: 'Deep', message: HTML, target: '<b>x</b>' };
    const fault = enveloped(status, { code: 'Some Code', message, target: 'inputs', details: [detail] });
    const { error } = await readThrough(fault, status, ownCode, 1);
    expect(error).toMatchObject({ target: 'inputs', details: [{ code: 'Deep' }] });
    expect(error.message).toMatch(/^Too much: x+…$/);
    expect(error.details?.[0]?.target).toBeUndefined();
    expect(error.details?.[0]?.message).not.toContain('nginx');
  });

  it('without the envelope gets the code of its status and keeps its message', async () => {
    const fault = bare(status, { code: 'SomeCode', message: 'Words.' });
    const { error } = await readThrough(fault, status, ownCode, 1);
    expect(error).toEqual({ code: ownCode, message: 'Words.' });
  });

  it.each([
    ['is HTML', html(status)],
    ['is HTML that says it is JSON', bare(status, HTML)],
    ['is empty', bare(status)],
    ['is cut-off JSON', bare(status, '{"error":{"code":"SomeCode","mess')],
    ['is JSON of another kind', bare(status, [1, 'two', null])],
    ['is null', bare(status, 'null')],
    ['is said to be gzip and is not', { ...enveloped(status, {}), headers: { 'content-encoding': 'gzip' } }],
  ] as [string, FaultSpec][])('that %s gets an envelope with the code of its status', async (_, fault) => {
    const { error } = await readThrough(fault, status, ownCode, 1);
    expect(error.message).not.toContain('nginx');
  });
});

describe('an upstream answer that concerns the gateway, not the caller', () => {
  it.each([
    [
      'a 401 for a client that is unknown',
      { kind: 'unknown-client' },
      502,
      'UpstreamAuthenticationFailed',
      1,
    ],
    ['a 418', bare(418, { error: { code: 'Teapot', message: 'No.' } }), 502, 'UpstreamError', 1],
    ['a 405', bare(405), 502, 'UpstreamError', 1],
    ['a 410', bare(410), 502, 'UpstreamError', 1],
    ['a 304', bare(304), 502, 'UpstreamError', 1],
    [
      'a redirect, which is not followed',
      { kind: 'status', status: 302, headers: { location: 'http://127.0.0.1:1/contextcapture/jobs/x' } },
      502,
      'UpstreamError',
      1,
    ],
    [
      'a 500 in plain text',
      {
        kind: 'status',
        status: 500,
        body: 'Internal Server Error\n    at f (/app/x.js:1:2)',
        contentType: 'text/plain',
      },
      502,
      'UpstreamError',
      1,
    ],
    ['a 501', bare(501), 502, 'UpstreamError', 1],
    ['a 502 in HTML, tried once more', html(502), 502, 'UpstreamError', 2],
    [
      'a 503, tried once more',
      bare(503, { error: { code: 'Busy', message: 'Later.' } }),
      502,
      'UpstreamError',
      2,
    ],
    ['a 504, tried once more', html(504), 502, 'UpstreamError', 2],
    ['a reset, tried once more', { kind: 'reset' }, 502, 'UpstreamError', 2],
    ['a 200 that is not JSON', { kind: 'not-json' }, 502, 'InvalidUpstreamResponse', 1],
    ['a 200 without a job', { kind: 'no-job' }, 502, 'InvalidUpstreamResponse', 1],
    ['a 200 whose job is null', bare(200, { job: null }), 502, 'InvalidUpstreamResponse', 1],
    ['a 200 whose job is a text', bare(200, { job: 'x' }), 502, 'InvalidUpstreamResponse', 1],
    ['a 200 whose job is a list', bare(200, { job: [] }), 502, 'InvalidUpstreamResponse', 1],
    ['a 200 in HTML', html(200), 502, 'InvalidUpstreamResponse', 1],
    ['an empty 200', bare(200), 502, 'InvalidUpstreamResponse', 1],
    ['a 204', bare(204), 502, 'InvalidUpstreamResponse', 1],
    [
      'a 200 that is said to be gzip and is not',
      { kind: 'status', status: 200, body: { job: {} }, headers: { 'content-encoding': 'gzip' } },
      502,
      'InvalidUpstreamResponse',
      1,
    ],
    ['a 200 that is cut off', { kind: 'cut-off' }, 502, 'InvalidUpstreamResponse', 1],
    ['a 200 that is too large', { kind: 'huge', bytes: 9 * 2 ** 20 }, 502, 'InvalidUpstreamResponse', 1],
  ] as [string, FaultSpec, number, string, number][])(
    '%s, gets %#',
    async (_, fault, status, code, calls) => {
      const { answer } = await readThrough(fault, status, code, calls);
      expect(answer.text).not.toMatch(/nginx|Teapot|Busy|127\.0\.0\.1/);
    },
  );

  it.each(['hang', 'hang-body'] as const)(
    'that never ends (%s) gives 504 UpstreamTimeout after one call',
    async (kind) => {
      const since = performance.now();
      await readThrough({ kind }, 504, 'UpstreamTimeout', 1);
      expect(performance.now() - since).toBeGreaterThanOrEqual(TIMEOUT_MS - 5);
    },
  );

  it.each([
    ['a 502', html(502)],
    ['a 503', bare(503)],
    ['a 504', bare(504)],
    ['a reset', { kind: 'reset' }],
    ['a 401', { kind: 'unauthorized' }],
    ['an unwrapped 401', { kind: 'unauthorized-unwrapped' }],
  ] as [string, FaultSpec][])('is repaired by a second call after %s', async (_, fault) => {
    const { id } = upstream.addJob();
    upstream.fault(fault, { jobId: id, times: 1 });
    const { status, text } = await read(id);
    expect(status).toBe(200);
    expect(text).toBe(upstream.bodyOf(id).toString());
    expect(upstream.callsFor(id)).toHaveLength(2);
  });

  it('has no body for HEAD', async () => {
    const { id } = upstream.addJob();
    upstream.fault(html(500), { jobId: id });
    const answer = await request(gateway.url)
      .head(`/contextcapture/jobs/${id}`)
      .set('Authorization', gateway.bearer());
    expect(answer.status).toBe(502);
    expectErrorHeaders({ status: 502, headers: answer.headers });
    expect(answer.text || '').toBe('');
  });

  it('is shared with all who wait for it, and not cached', async () => {
    const { id } = upstream.addJob();
    upstream.set({ latencyMs: 150 });
    upstream.fault(html(500), { jobId: id, times: 1 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => read(id)));
    upstream.set({ latencyMs: 0 });
    for (const answer of answers) expectError(answer, 502, 'UpstreamError');
    expect(upstream.count).toBe(1);
    expect((await read(id)).status).toBe(200);
  });
});

describe("an error that quotes the gateway's token", () => {
  it('is relayed without it', async () => {
    await read(upstream.addJob().id);
    const token = upstream.calls[0]?.token ?? '';
    expect(token).not.toBe('');
    const message = `The token ${token} is not for this job.`;
    const fault = enveloped(403, {
      code: 'SomeCode',
      message,
      target: token,
      details: [{ code: 'D', message }],
    });
    const { answer } = await readThrough(fault, 403, 'SomeCode', 1);
    expect(answer.text).not.toContain(token);
  });
});
