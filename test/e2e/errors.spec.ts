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

describe('a caller who is not known', () => {
  it('is told that the header is missing, whatever it asks for, and costs no upstream call', async () => {
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
  ])('is answered 401 Unauthorized for %s, without an upstream call', async (_, authorization) => {
    const { id } = upstream.addJob();
    expectUnauthorized(await request(gateway.url).get(path(id)).set('Authorization', authorization()));
    expect(upstream.count).toBe(0);
    expect(upstream.tokenRequests).toHaveLength(0);
  });

  it('is known by its key after the scheme in any letter case', async () => {
    const { id } = upstream.addJob();
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      const answer = await request(gateway.url).get(path(id)).set('Authorization', `${scheme} ${all.key}`);
      expect(answer.status).toBe(200);
    }
  });
});

describe('an id that is no job', () => {
  it('answers 404 JobNotFound for an unknown job with one upstream call, and remembers it', async () => {
    const id = randomUUID();
    const first = await read(id);
    expectError(first, 404, 'JobNotFound', NOT_AVAILABLE);
    expect((await read(id.toUpperCase())).text).toBe(first.text);
    expect(upstream.count).toBe(1);
  });

  it('answers an id that is no UUID as an unknown job, byte for byte and header for header, with no upstream call', async () => {
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

  it('takes an id in any letter case, and one whose characters are escaped', async () => {
    const { id } = upstream.addJob();
    const escaped = id
      .replaceAll('-', '%2D')
      .replace(/^./, (first) => `%${first.charCodeAt(0).toString(16)}`);
    for (const asked of [id, id.toUpperCase(), escaped]) expect((await read(asked)).status).toBe(200);
    expect(upstream.count).toBe(1);
  });

  it('takes an id whose characters are escaped before a query that is escaped badly', async () => {
    const { id } = upstream.addJob();
    expect((await read(`${id.replaceAll('-', '%2D')}?x=100%`)).status).toBe(200);
  });
});

describe('a job that the caller may not see', () => {
  it.each([
    ['of another iTwin', { iTwinId: OTHER_ITWIN }],
    ['of another iTwin, unfinished', { iTwinId: OTHER_ITWIN, state: 'active' }],
    ['without an iTwin', { iTwinId: 'none' }],
    ['with null for an iTwin', { iTwinId: null }],
  ] as [string, JobOptions][])(
    '(%s) is told apart from an unknown job by nothing, cached or not, and is there for a caller of all iTwins',
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

  it('is told apart by nothing in the head either', async () => {
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

  it('is refused to one and given to another, who ask for it in one flight', async () => {
    const job = upstream.addJob({ iTwinId: OTHER_ITWIN });
    upstream.fault({ kind: 'slow', ms: 200 }, { jobId: job.id });
    const [seen, hidden] = await Promise.all([read(job.id), read(job.id, restricted)]);
    expect(seen.status).toBe(200);
    expectError(hidden, 404, 'JobNotFound', NOT_AVAILABLE);
    expect(upstream.count).toBe(1);
  });

  it('is one of another iTwin: its own iTwin the caller may see, in any letter case', async () => {
    const job = upstream.addJob({ iTwinId: OWN_ITWIN.toUpperCase() });
    expect((await read(job.id, restricted)).status).toBe(200);
  });
});

describe('a caller who goes away before the answer', () => {
  it('is no fault of the gateway: nothing is logged as an error', async () => {
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
    // Whatever else there was to log of it has been logged before a later read.
    const later = randomUUID();
    await read(later);
    await gateway.logged(({ jobId }) => jobId === later);
    expect(gateway.log.filter(({ msg }) => msg === 'unexpected error')).toEqual([]);
  });
});

describe('the head of an error', () => {
  it.each([
    ['401', 401, () => request(gateway.url).head(path(randomUUID()))],
    [
      '404 of a job',
      404,
      () => request(gateway.url).head(path(randomUUID())).set('Authorization', gateway.bearer()),
    ],
    ['404 of a route', 404, () => request(gateway.url).head('/nothing')],
  ])('%s says what that of GET says, and has no body', async (_, status, ask) => {
    const answer = await ask();
    expect(answer.status).toBe(status);
    expectErrorHeaders({ status, headers: answer.headers });
    expect(answer.text || '').toBe('');
  });
});

/** All that a caller could tell answers apart by. */
function told({ status, headers, text }: AnyAnswer): AnyAnswer {
  const { date: _date, 'x-correlation-id': _correlationId, ...others } = headers;
  return { status, headers: others, text };
}
