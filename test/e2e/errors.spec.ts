import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import type { JobOptions } from '../fake-upstream/jobs.ts';
import {
  type AnyAnswer,
  expectError,
  expectErrorHeaders,
  expectNothingSecret,
} from '../support/error-answer.ts';
import { Gateway, testCaller } from '../support/gateway.ts';
import { readJob } from '../support/reads.ts';

const OWN_ITWIN = '5b2f7b1e-0c64-4b0c-9a3e-1d6a8f0e2c11';
const OTHER_ITWIN = '9f0c2d4e-77aa-4c7b-8c59-30d1c1d9b702';
const NO_HEADER = 'Header Authorization was not found in the request. Access denied.';
const NOT_AVAILABLE = 'Requested job is not available.';

const all = testCaller('dashboard');
const restricted = testCaller('partner', [OWN_ITWIN]);

let upstream: FakeUpstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  gateway = await Gateway.start({ upstream, callers: [all, restricted] });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.stop();
});

beforeEach(() => {
  upstream.clear();
});

const path = (jobId: string): string => `/contextcapture/jobs/${jobId}`;

function read(jobId: string, caller = all): request.Test {
  return request(gateway.url).get(path(jobId)).set('Authorization', gateway.bearer(caller));
}

function expectUnauthorized(answer: AnyAnswer): void {
  expectError(answer, 401, 'Unauthorized');
  expectNothingSecret(answer, gateway, upstream);
}

describe('an unknown caller', () => {
  it('gets HeaderNotFound for every path, without an upstream call', async () => {
    const { id } = upstream.addJob();
    for (const asked of [id, randomUUID(), 'no-uuid', '%zz']) {
      expectError(await request(gateway.url).get(path(asked)), 401, 'HeaderNotFound', NO_HEADER);
    }
    expect(upstream.count).toBe(0);
    expect(upstream.tokenRequests).toHaveLength(0);
  });

  it.each([
    ['an empty header', () => ''],
    ['a scheme without a key', () => 'Bearer'],
    ['a scheme with blanks for a key', () => 'Bearer   '],
    ['a key without a scheme', () => all.key],
    ['HTTP Basic', () => `Basic ${Buffer.from(`dashboard:${all.key}`).toString('base64')}`],
    ['another scheme', () => `Digest ${all.key}`],
    ['an unknown key', () => `Bearer ${testCaller('nobody').key}`],
    ['the beginning of a key', () => `Bearer ${all.key.slice(0, -1)}`],
    ['a key with something after it', () => `Bearer ${all.key} x`],
    ['a key in another letter case', () => `Bearer ${all.key.toLowerCase()}A`],
    ['two keys', () => `Bearer ${all.key}, Bearer ${all.key}`],
    ['a quoted key', () => `Bearer "${all.key}"`],
    ['characters outside ASCII', () => `Bearer ${all.key}\u00e9`],
    ['a very long key', () => `Bearer ${'a'.repeat(12_000)}`],
    ['the client credentials of the gateway', () => `Bearer ${upstream.settings.clientSecret}`],
  ])('gets 401 Unauthorized for %s, without an upstream call', async (_, authorization) => {
    const { id } = upstream.addJob();
    expectUnauthorized(await request(gateway.url).get(path(id)).set('Authorization', authorization()));
    expect(upstream.count).toBe(0);
    expect(upstream.tokenRequests).toHaveLength(0);
  });

  it('is identified by its key after the scheme in any letter case', async () => {
    const { id } = upstream.addJob();
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      const answer = await request(gateway.url).get(path(id)).set('Authorization', `${scheme} ${all.key}`);
      expect(answer.status).toBe(200);
    }
  });
});

describe('an id without a job', () => {
  it('gets 404 JobNotFound after one upstream call, and is cached', async () => {
    const id = randomUUID();
    const first = await read(id);
    expectError(first, 404, 'JobNotFound', NOT_AVAILABLE);
    expect((await read(id.toUpperCase())).text).toBe(first.text);
    expect(upstream.count).toBe(1);
  });

  it('that is not a UUID gets the same answer as an unknown job, to the byte, without an upstream call', async () => {
    const id = randomUUID();
    const unknown = told(await read(id));
    upstream.clear();
    const ids = [
      'x',
      'events2',
      id.slice(1),
      `${id}0`,
      id.replaceAll('-', ''),
      `{${id}}`,
      `urn:uuid:${id}`,
      id.replace('-', '_'),
      id.replace(/^./, 'g'),
      `${id}%20`,
      `${id}%00`,
      `${id}%0a`,
      `${id}%2Fx`,
      '..%2f..%2fhealth',
      '%zz',
      '%',
      '%ff%fe',
      '%E2%82%AC',
      '%F0%9F%98%80',
      "'%20or%201=1--",
      'a'.repeat(8000),
      '__proto__',
      'constructor',
    ];
    for (const asked of ids) expect(told(await read(asked))).toEqual(unknown);
    expect(upstream.count).toBe(0);
  });

  it('can be in any letter case, and percent-encoded', async () => {
    const { id } = upstream.addJob();
    const escaped = id
      .replaceAll('-', '%2D')
      .replace(/^./, (first) => `%${first.charCodeAt(0).toString(16)}`);
    for (const asked of [id, id.toUpperCase(), escaped]) expect((await read(asked)).status).toBe(200);
    expect(upstream.count).toBe(1);
  });

  it('can be percent-encoded before a query with invalid escapes', async () => {
    const { id } = upstream.addJob();
    expect((await read(`${id.replaceAll('-', '%2D')}?x=100%`)).status).toBe(200);
  });
});

describe('a job that is not visible to the caller', () => {
  it.each([
    ['of another iTwin', { iTwinId: OTHER_ITWIN }],
    ['of another iTwin, unfinished', { iTwinId: OTHER_ITWIN, state: 'active' }],
    ['without an iTwin', { iTwinId: 'none' }],
    ['with null for an iTwin', { iTwinId: null }],
  ] as [string, JobOptions][])(
    '(%s) gets the same answer as an unknown job, cached or not, and is visible to an unrestricted caller',
    async (_, options) => {
      const job = upstream.addJob(options);
      const unknownId = randomUUID();
      const unknown = told(await read(unknownId, restricted));
      expect(unknown.text).toContain(NOT_AVAILABLE);
      expect(told(await read(job.id, restricted))).toEqual(unknown);
      const seen = await read(job.id);
      expect(seen.status).toBe(200);
      const { etag } = seen.headers as { etag: string };
      expect(told(await read(job.id, restricted))).toEqual(unknown);
      expect(told(await read(job.id, restricted).set('If-None-Match', etag))).toEqual(unknown);
      expect(told(await read(job.id, restricted).set('If-None-Match', '*'))).toEqual(unknown);
      expect(told(await read(unknownId, restricted))).toEqual(unknown);
      expect(told(await read('no-uuid', restricted))).toEqual(unknown);
      expect(upstream.callsFor(job.id)).toHaveLength(1);
    },
  );

  it('gets the same headers as well', async () => {
    const other = upstream.addJob({ iTwinId: OTHER_ITWIN });
    const head = async (id: string): Promise<unknown> => {
      const { status, headers, text } = await request(gateway.url)
        .head(path(id))
        .set('Authorization', gateway.bearer(restricted));
      return told({ status, headers: headers, text });
    };
    const unknown = await head(randomUUID());
    expect(await head(other.id)).toEqual(unknown);
    expect(await head(other.id)).toEqual(unknown);
  });

  it('is refused to one caller and served to another who share one read', async () => {
    const job = upstream.addJob({ iTwinId: OTHER_ITWIN });
    upstream.fault({ kind: 'slow', ms: 200 }, { jobId: job.id });
    const [seen, hidden] = await Promise.all([read(job.id), read(job.id, restricted)]);
    expect(seen.status).toBe(200);
    expectError(hidden, 404, 'JobNotFound', NOT_AVAILABLE);
    expect(upstream.count).toBe(1);
  });

  it('is one of another iTwin: jobs of its own iTwin are visible, in any letter case', async () => {
    const job = upstream.addJob({ iTwinId: OWN_ITWIN.toUpperCase() });
    expect((await read(job.id, restricted)).status).toBe(200);
  });
});

describe('a caller who disconnects before the answer', () => {
  it('causes no error in the log', async () => {
    const { id } = upstream.addJob();
    upstream.fault({ kind: 'hang' }, { jobId: id });
    const leaving = new AbortController();
    const { signal } = leaving;
    const gone = readJob(gateway, id, { signal }).catch(() => 'gone');
    await upstream.arrived(1);
    leaving.abort();
    expect(await gone).toBe('gone');
    const line = await gateway.logged(({ jobId }) => jobId === id);
    expect(line).toMatchObject({ level: 30, msg: 'read', status: 499, outcome: 'gone' });
    // Any log line about it precedes the one of a later read.
    const later = randomUUID();
    await read(later);
    await gateway.logged(({ jobId }) => jobId === later);
    expect(gateway.log.filter(({ msg }) => msg === 'unexpected error')).toEqual([]);
  });
});

describe('HEAD of an error', () => {
  it.each([
    ['401', 401, () => request(gateway.url).head(path(randomUUID()))],
    [
      '404 of a job',
      404,
      () => request(gateway.url).head(path(randomUUID())).set('Authorization', gateway.bearer()),
    ],
    ['404 of a route', 404, () => request(gateway.url).head('/nothing')],
  ])('%s has the headers of GET, and no body', async (_, status, ask) => {
    const answer = await ask();
    expect(answer.status).toBe(status);
    expectErrorHeaders({ status, headers: answer.headers });
    expect(answer.text || '').toBe('');
  });
});

/** Everything in an answer that a caller could compare. */
function told({ status, headers, text }: AnyAnswer): AnyAnswer {
  const { date: _date, 'x-correlation-id': _correlationId, ...others } = headers;
  return { status, headers: others, text };
}
