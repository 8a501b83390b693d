import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { getJob, tokenFrom } from './client.ts';
import { FakeUpstream } from './fake-upstream.ts';

let upstream: FakeUpstream;

beforeEach(async () => {
  upstream = await FakeUpstream.start();
});

afterEach(() => upstream.stop());

async function control(method: string, path: string, body?: unknown): Promise<[number, unknown]> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const answer = await fetch(`${upstream.url}/_fake${path}`, init);
  const text = await answer.text();
  return [answer.status, text === '' ? undefined : JSON.parse(text)];
}

describe('control over HTTP', () => {
  it('offers what the API within the process offers', async () => {
    const token = await tokenFrom(upstream);
    const script = [{ state: 'active', forMs: 60_000 }, { state: 'success' }];
    const [, { id }] = (await control('POST', '/jobs', { script, iTwinId: 'none' })) as [
      number,
      { id: string },
    ];
    expect(JSON.parse(upstream.bodyOf(id).toString())).toMatchObject({ job: { id, state: 'active' } });
    expect(await control('PATCH', `/jobs/${id}`, { state: 'failed' })).toEqual([204, undefined]);
    expect(JSON.parse(upstream.bodyOf(id).toString())).toMatchObject({ job: { id, state: 'failed' } });

    await control('PATCH', '', { limits: '2/1h', windowKind: 'sliding', latencyMs: [0, 1] });
    await control('POST', '/faults', { kind: 'status', status: 502, jobId: id, times: 1 });
    const statuses: number[] = [];
    for (let call = 0; call < 3; call++) statuses.push((await getJob(upstream, id, token)).status);
    expect(statuses).toEqual([502, 200, 429]);

    expect(await control('GET', '/window?ms=60000')).toEqual([200, { windowMs: 60000, most: 2 }]);
    const [, summary] = await control('GET', '');
    expect(summary).toMatchObject({ calls: 3, admitted: 2, refused: 1, tokenRequests: 1 });
    expect(JSON.stringify(summary)).not.toContain(upstream.settings.clientSecret);
  });

  it('clears faults, calls and tokens', async () => {
    const token = await tokenFrom(upstream);
    upstream.fault({ kind: 'hang' });
    await control('DELETE', '/faults');
    await control('DELETE', '/tokens');
    expect((await getJob(upstream, 'any', token)).status).toBe(401);
    await control('DELETE', '/calls');
    expect(upstream.count).toBe(0);
  });

  it.each([
    ['PATCH', '', { limits: 'many' }, 'settings.limits must be such as 100/2s'],
    ['PATCH', '', { clientId: 'new', latencyMs: [5, 1] }, 'settings.latencyMs must be'],
    ['PATCH', '', { clientId: 'new', colour: 'red' }, 'settings has no colour; it has clientId'],
    ['PATCH', '', { tokenFault: { kind: 'odd' } }, 'settings.tokenFault must be'],
    ['PATCH', '', [], 'settings must be an object'],
    ['POST', '/jobs', { script: [{ forMs: 1 }] }, 'job.script must be a list'],
    ['POST', '/faults', { kind: 'odd' }, 'fault.kind must be one of status, hang'],
    ['POST', '/faults', { kind: 'status' }, 'fault lacks status'],
    ['POST', '/faults', { kind: 'hang', times: 0 }, 'fault.times must be a whole number'],
    ['POST', '/faults', { kind: 'status', status: 200, headers: { 'a b': 'c' } }, 'fault.headers must be'],
    ['PATCH', '/jobs/unknown', { state: 'active' }, 'no job unknown'],
    ['GET', '/window', undefined, 'ms must be'],
  ])('refuses %s %s %j and changes nothing', async (method, path, body, message) => {
    const before = await control('GET', '');
    expect(await control(method, path, body)).toEqual([400, { error: expect.stringContaining(message) }]);
    expect(await control('GET', '')).toEqual(before);
  });
});
