import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { getJob, tokenFrom } from './client.ts';
import type { FaultSpec } from './faults.ts';
import { FakeUpstream } from './fake-upstream.ts';

let upstream: FakeUpstream;
let token: string;
let id: string;

beforeEach(async () => {
  upstream = await FakeUpstream.start();
  token = await tokenFrom(upstream);
  id = upstream.addJob().id;
});

afterEach(() => upstream.stop());

const read = (): Promise<Response> => getJob(upstream, id, token);

describe('a fault that answers', () => {
  it.each<[FaultSpec, number, string]>([
    [
      { kind: 'status', status: 422, body: { error: { code: 'X', target: 'id' } } },
      422,
      '{"error":{"code":"X","target":"id"}}',
    ],
    [{ kind: 'status', status: 500, body: 'oops', contentType: 'text/plain' }, 500, 'oops'],
    [{ kind: 'status', status: 418 }, 418, ''],
    [{ kind: 'no-job' }, 200, '{}'],
    [{ kind: 'unauthorized' }, 401, '"error":{"code":"Unauthorized"'],
    [{ kind: 'unauthorized-unwrapped' }, 401, '{"code":"Unauthorized","message":'],
    [{ kind: 'unknown-client' }, 401, '"details":[{"code":"UnknownClient"'],
    [{ kind: 'too-many' }, 429, '"code":"TooManyRequests"'],
  ])('%j', async (spec, status, body) => {
    upstream.fault(spec);
    const answer = await read();
    expect(answer.status).toBe(status);
    expect(await answer.text()).toContain(body);
    expect(upstream.calls).toMatchObject([{ status, admitted: true }]);
  });

  it('sends the configured headers', async () => {
    upstream.fault({ kind: 'status', status: 302, headers: { location: 'http://elsewhere/' } }, { times: 1 });
    upstream.fault({ kind: 'too-many', retryAfter: 'soon' }, { times: 1 });
    expect((await read()).headers.get('location')).toBe('http://elsewhere/');
    expect((await read()).headers.get('retry-after')).toBe('soon');
  });

  it('sends invalid JSON, and too much JSON', async () => {
    upstream.fault({ kind: 'not-json' }, { times: 1 });
    await expect((await read()).json()).rejects.toThrow('in JSON');
    upstream.fault({ kind: 'huge', bytes: 1_000_000 });
    const body = await (await read()).text();
    expect(body).toHaveLength(1_000_000);
    expect(JSON.parse(body)).toHaveProperty('job');
  });

  it('sends the normal answer late, as of the request', async () => {
    upstream.fault({ kind: 'slow', ms: 50 });
    const start = performance.now();
    const late = read();
    await upstream.arrived(1);
    const body = upstream.bodyOf(id);
    upstream.setState(id, 'cancelled');
    expect(Buffer.from(await (await late).arrayBuffer())).toEqual(body);
    // A timer may fire up to a millisecond early.
    expect(performance.now() - start).toBeGreaterThan(48);
  });

  it('holds the normal answer back until the faults are cleared', async () => {
    upstream.fault({ kind: 'hold' });
    let answered = false;
    const held = read().then((answer) => {
      answered = true;
      return answer;
    });
    await upstream.arrived(1);
    // Another request is answered in between.
    await fetch(`${upstream.url}/_fake`);
    expect(answered).toBe(false);
    upstream.clearFaults();
    expect((await held).status).toBe(200);
  });

  it('compresses the normal answer for a client that accepts it', async () => {
    upstream.fault({ kind: 'gzip' });
    const answer = await read();
    expect(answer.headers.get('content-encoding')).toBe('gzip');
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(upstream.bodyOf(id));
    const identity = await getJob(upstream, id, token, { 'accept-encoding': 'identity' });
    expect(identity.headers.has('content-encoding')).toBe(false);
  });
});

describe('a fault of the connection', () => {
  const dial = (): ReturnType<typeof get> =>
    get(`${upstream.url}/contextcapture/jobs/${id}`, {
      headers: { authorization: `Bearer ${token}` },
      agent: false,
    });

  it('resets it before any answer', async () => {
    upstream.fault({ kind: 'reset' });
    const [error] = (await once(dial(), 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(upstream.calls).toMatchObject([{ status: 'reset' }]);
  });

  it('cuts it off in the middle of the body', async () => {
    upstream.fault({ kind: 'cut-off' });
    const [response] = (await once(dial(), 'response')) as [IncomingMessage];
    await expect(text(response)).rejects.toThrow('aborted');
    expect(upstream.calls).toMatchObject([{ status: 'cut-off' }]);
  });

  it('hangs before the answer, until the fake upstream stops', async () => {
    upstream.fault({ kind: 'hang' });
    const failed = once(dial(), 'error');
    await upstream.arrived(1);
    await upstream.stop();
    expect(await failed).toMatchObject([{ code: 'ECONNRESET' }]);
    expect(upstream.calls).toMatchObject([{ status: 'hang' }]);
  });

  it('hangs in the middle of the body, until the fake upstream stops', async () => {
    upstream.fault({ kind: 'hang-body' });
    const [response] = (await once(dial(), 'response')) as [IncomingMessage];
    const [half] = (await once(response, 'data')) as [Buffer];
    expect(half).toHaveLength(Math.floor(upstream.bodyOf(id).length / 2));
    const failed = once(response, 'error');
    await upstream.stop();
    await expect(failed).resolves.toMatchObject([{ message: 'aborted' }]);
  });
});

describe('the scope of a fault', () => {
  const statuses = async (...ids: string[]): Promise<number[]> => {
    const seen: number[] = [];
    for (const each of ids) seen.push((await getJob(upstream, each, token)).status);
    return seen;
  };

  it('is one job or all, and a number of calls or all until cleared', async () => {
    const other = upstream.addJob().id;
    upstream.fault({ kind: 'status', status: 500 }, { times: 1 });
    upstream.fault({ kind: 'status', status: 503 });
    upstream.fault({ kind: 'status', status: 403 }, { jobId: id.toUpperCase(), times: 2 });
    expect(await statuses(id, other, id, id, other)).toEqual([403, 500, 403, 503, 503]);
    upstream.clearFaults();
    expect(await statuses(id, other)).toEqual([200, 200]);
  });
});
