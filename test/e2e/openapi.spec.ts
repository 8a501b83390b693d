import { describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { testCaller, testOperator } from '../support/gateway.ts';
import { schemaCheck } from '../support/schema-check.ts';
import { shareRig } from '../support/shared-rig.ts';
import { answerTo } from '../support/wire.ts';

interface Answer {
  readonly headers?: Record<string, unknown>;
  readonly content?: Record<string, unknown>;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Record<string, Record<string, { readonly responses: Record<string, Answer> }>>;
}

/** General HTTP headers, which are not described. */
const HTTP_FIELDS = [
  'content-type',
  'content-length',
  'date',
  'connection',
  'keep-alive',
  'transfer-encoding',
];
/** Headers of all answers, for browsers and proxies. */
const BROWSER_FIELDS = [
  'x-accel-buffering',
  'x-content-type-options',
  'content-security-policy',
  'referrer-policy',
  'cross-origin-opener-policy',
  'cross-origin-resource-policy',
];

const rig = shareRig({}, () => ({
  callers: [testCaller('caller'), testOperator('operator')],
  env: { PATIENCE: '60s', UPSTREAM_TIMEOUT: '3s' },
}));

async function document(): Promise<Document> {
  const answer = await request(rig.gateway.url).get('/openapi.json').expect(200);
  return answer.body as Document;
}

interface Seen {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body?: unknown;
  readonly text?: string;
}

/** Expects an answer that matches the description. */
async function expectDescribed(path: string, seen: Seen, method = 'get'): Promise<void> {
  const described = await document();
  const answer = described.paths[path]?.[method]?.responses[seen.status];
  expect({ path, status: seen.status, described: answer !== undefined }).toMatchObject({ described: true });
  const fields = Object.keys(answer?.headers ?? {}).map((name) => name.toLowerCase());
  const more = ['etag', 'cache-control', 'vary'].filter(() => !path.startsWith('/contextcapture'));
  const undescribed = Object.keys(seen.headers).filter(
    (name) => ![...fields, ...HTTP_FIELDS, ...BROWSER_FIELDS, ...more].includes(name),
  );
  expect({ path, status: seen.status, undescribed }).toMatchObject({ undescribed: [] });
  const [type = ''] = (seen.headers['content-type'] ?? '').split(';');
  if (answer?.content === undefined) return;
  expect(Object.keys(answer.content)).toEqual([type]);
  const steps = ['paths', path, method, 'responses', String(seen.status), 'content', type, 'schema'];
  const pointer = steps
    .map((step) => step.replaceAll('~', '~0').replaceAll('/', '~1'))
    .map(encodeURIComponent);
  const value = type === 'application/json' ? seen.body : (seen.text ?? '');
  expect(schemaCheck(described, `#/${pointer.join('/')}`)(value)).toEqual([]);
}

const JOB = '/contextcapture/jobs/{id}';
const get = (path: string, headers: Record<string, string> = {}) =>
  request(rig.gateway.url)
    .get(path)
    .set({ authorization: rig.gateway.bearer(), ...headers });
const readOf = (id: string, headers: Record<string, string> = {}) => get(JOB.replace('{id}', id), headers);

describe('answers match the description', () => {
  it.each(['success', 'active', 'TerminatingOnFailure'])('a job that is %s', async (state) => {
    const { id } = rig.upstream.addJob({ state });
    for (let read = 0; read < 2; read++) await expectDescribed(JOB, await readOf(id).expect(200));
    const { headers } = await readOf(id);
    await expectDescribed(JOB, await readOf(id, { 'if-none-match': headers['etag']! }).expect(304));
    const head = await request(rig.gateway.url)
      .head(JOB.replace('{id}', id))
      .set('authorization', rig.gateway.bearer());
    await expectDescribed(JOB, head, 'head');
  });

  it.each([
    [{ kind: 'status', status: 500 }, 502],
    [{ kind: 'status', status: 403 }, 403],
    [{ kind: 'status', status: 422 }, 422],
    [{ kind: 'status', status: 409 }, 409],
    [{ kind: 'status', status: 400 }, 400],
    [{ kind: 'hang' }, 504],
  ] as const)('a read that upstream answers with %j', async (fault, status) => {
    rig.upstream.fault(fault);
    await expectDescribed(JOB, await readOf(rig.upstream.addJob().id).expect(status));
  });

  it('a read that finds nothing, is refused, or is only-if-cached', async () => {
    const { id } = rig.upstream.addJob();
    await expectDescribed(JOB, await readOf('none').expect(404));
    await expectDescribed(JOB, await readOf(id, { 'cache-control': 'only-if-cached' }).expect(504));
    await expectDescribed(JOB, await readOf(id, { authorization: 'Bearer wrong' }).expect(401));
    await expectDescribed(JOB, await request(rig.gateway.url).get(JOB.replace('{id}', id)).expect(401));
  });

  it('other methods, and too large requests', async () => {
    const { id } = rig.upstream.addJob();
    const path = JOB.replace('{id}', id);
    const posted = await request(rig.gateway.url).post(path).set('authorization', rig.gateway.bearer());
    await expectDescribed(JOB, posted);
    for (const bytes of [
      `GET ${path}?${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      `GET ${path} HTTP/1.1\r\nHost: a\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`,
      `GET ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n`,
      'hello\r\n\r\n',
    ]) {
      const { status, headers, text } = await answerTo(rig.gateway.url, bytes);
      await expectDescribed(JOB, {
        status,
        headers: headers as Record<string, string>,
        body: JSON.parse(text),
      });
    }
  });

  it('errors of event streams', async () => {
    const events = '/contextcapture/jobs/events';
    const { id } = rig.upstream.addJob({ state: 'success' });
    await expectDescribed(events, await get(`${events}?ids=${id}`).expect(200));
    await expectDescribed(events, await get(events, { 'last-event-id': 'end' }).expect(204));
    await expectDescribed(events, await get(`${events}?ids=x`).expect(400));
    await expectDescribed(events, await get(`${events}?ids=${id}`, { authorization: 'Basic x' }).expect(401));
    await expectDescribed('/console/events', await get('/console/events').expect(403));
  });

  it.each(['/health/live', '/health/ready', '/metrics', '/openapi.json', '/docs', '/console'])(
    '%s',
    async (path) => {
      await expectDescribed(path, await request(rig.gateway.url).get(path).expect(200));
      await expectDescribed(path, await request(rig.gateway.url).put(path).expect(405));
    },
  );
});

describe('a refusal for lack of quota', () => {
  it('matches the description', async () => {
    rig.upstream.fault({ kind: 'too-many', retryAfter: '600' }, { times: 1 });
    for (let read = 0; read < 2; read++)
      await expectDescribed(JOB, await readOf(rig.upstream.addJob().id).expect(429));
  });
});

describe('the description', () => {
  it('is OpenAPI 3.1 with the version of the package, and has an entity tag', async () => {
    const answer = await request(rig.gateway.url).get('/openapi.json').expect(200);
    const { openapi, info } = answer.body as Document;
    expect(openapi).toMatch(/^3\.1\./);
    expect(info.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(answer.headers['content-type']).toBe('application/json');
    const again = { 'if-none-match': answer.headers['etag']! };
    await request(rig.gateway.url).get('/openapi.json').set(again).expect(304);
  });

  it('has a page with only its own files', async () => {
    const { text, headers } = await request(rig.gateway.url).get('/docs').expect(200);
    expect(headers['content-security-policy']).toMatch(
      /^default-src 'none'; script-src 'self'; style-src 'self';/,
    );
    const files = [...text.matchAll(/(?:src|href)="(docs\/[^"]+)"/g)].map(([, file = '']) => file);
    expect(files).toContain('docs/base.css');
    for (const file of files) await request(rig.gateway.url).get(`/${file}`).expect(200);
    expect(text).not.toMatch(/<script(?![^>]*src)|style="|https?:/);
    await request(rig.gateway.url).get('/docs/nothing.js').expect(404);
    await request(rig.gateway.url).get('/docs/..%2fdocument.js').expect(404);
  });
});
