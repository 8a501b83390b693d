import { randomUUID } from 'node:crypto';
import { request as send } from 'node:http';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import { cacheStatus } from '../support/cache-status.ts';
import type { Gateway } from '../support/gateway.ts';
import { readJob, type Seen } from '../support/reads.ts';
import { startGateway } from '../support/rig.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';

const rig = shareRig({}, () => ({ env: { ACTIVE_FRESH: '60s' } }));

/** The same request by another method. */
async function ask(gateway: Gateway, method: string, jobId: string, headers: Record<string, string> = {}) {
  const request = send(`${gateway.url}/contextcapture/jobs/${jobId}`, {
    method,
    headers: { authorization: gateway.bearer(), ...headers },
  });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) };
}

/** The headers of an answer that describe the copy. */
function copyHeaders({ headers }: Pick<Seen, 'headers'>) {
  const { etag, age } = headers;
  return { etag, age, 'cache-control': headers['cache-control'], 'cache-status': headers['cache-status'] };
}

describe('Cache-Status', () => {
  it('distinguishes a miss, a memory hit and a read that shared a call', async () => {
    const { upstream, gateway } = rig;
    upstream.set({ latencyMs: 150 });
    const [finished, active] = [upstream.addJob().id, upstream.addJob({ state: 'active' }).id];
    const name = 'itwin-jobs-gateway';
    const together = await Promise.all([readJob(gateway, finished), readJob(gateway, finished)]);
    expect(together.map(cacheStatus)).toEqual(
      expect.arrayContaining([
        { name, fwd: 'token:miss', ttl: 3600 },
        { name, fwd: 'token:miss', collapsed: true, ttl: 3600 },
      ]),
    );
    expect(cacheStatus(await readJob(gateway, finished))).toEqual({
      name,
      hit: true,
      ttl: 3600,
      detail: 'token:memory',
    });
    const { ttl, ...rest } = cacheStatus(await readJob(gateway, active));
    expect(rest).toEqual({ name, fwd: 'token:miss' });
    expect([59, 60]).toContain(ttl);
    upstream.set({ latencyMs: 0 });
  });
});

describe('Age and Cache-Control', () => {
  it('give whole seconds since the copy was read, and its remaining freshness', async () => {
    const { upstream, gateway } = rig;
    const [finished, active] = [upstream.addJob().id, upstream.addJob({ state: 'active' }).id];
    const first = await Promise.all([readJob(gateway, finished), readJob(gateway, active)]);
    const readAt = performance.now();
    expect(first.map(({ headers }) => headers['age'])).toEqual(['0', '0']);
    expect(first[0].headers['cache-control']).toBe('private, max-age=3600');
    expect(first[1].headers['cache-control']).toMatch(/^private, max-age=(59|60)$/);

    await until('more than a second has passed', () => performance.now() > readAt + 1050);
    const later = await readJob(gateway, finished);
    const age = Number(later.headers['age']);
    expect(later.headers['age']).toMatch(/^\d+$/);
    expect(age).toBeGreaterThanOrEqual(1);
    expect(later.headers['cache-control']).toBe(`private, max-age=${age + 3600}`);
    // Remaining freshness and age add up to a constant, except for rounding.
    const stillFresh = await readJob(gateway, active);
    expect(Number(stillFresh.headers['age'])).toBeGreaterThanOrEqual(1);
    expect(stillFresh.headers['cache-control']).toMatch(/^private, max-age=(59|60)$/);
    expect(Number(cacheStatus(stillFresh)['ttl'])).toBeLessThanOrEqual(59);
  });
});

describe('the entity tag', () => {
  it('is strong, derived from the bytes, and the same on every gateway', async () => {
    const { upstream, gateway: one } = rig;
    const other = await startGateway({ upstream });
    const jobs = [upstream.addJob(), upstream.addJob(), upstream.addJob({ state: 'active' })];
    const tagsOf = (gateway: Gateway) =>
      Promise.all(jobs.map(async ({ id }) => (await readJob(gateway, id)).headers['etag']));
    const tags = await tagsOf(one);
    for (const tag of tags) expect(tag).toMatch(/^"[\x21\x23-\x7e]+"$/);
    expect(new Set(tags).size).toBe(jobs.length);
    expect(await tagsOf(other)).toEqual(tags);
  });

  it('gives 304 for the current bytes, by weak comparison, and 200 otherwise', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob();
    const tag = String((await readJob(gateway, id)).headers['etag']);
    const statusFor = async (field: string) =>
      (await readJob(gateway, id, { headers: { 'if-none-match': field } })).status;
    const same = [tag, `W/${tag}`, `"other", ${tag}`, `"a,b" ,W/"c",${tag}`, ` ${tag} `, '*', `,, ${tag},`];
    const other = ['"other"', 'W/"other"', '"a", "b"', `"x${tag.slice(1)}`, tag.toUpperCase(), ''];
    for (const field of same) expect([field, await statusFor(field)]).toEqual([field, 304]);
    for (const field of other) expect([field, await statusFor(field)]).toEqual([field, 200]);
    expect(upstream.count).toBe(1);
  });

  it('is not compared with an invalid If-None-Match', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob();
    const tag = String((await readJob(gateway, id)).headers['etag']);
    const bare = tag.slice(1, -1);
    for (const field of [
      bare,
      `"${bare}`,
      '"',
      'W/',
      `w/${tag}`,
      `garbage ${tag}`,
      `${tag}${tag}`,
      '*, *',
      `W/ ${tag}`,
    ]) {
      const { status } = await readJob(gateway, id, { headers: { 'if-none-match': field } });
      expect([field, status]).toEqual([field, 200]);
    }
  });

  it('comes with Age, Cache-Control and Cache-Status in a 304, without a body', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob();
    const miss = await readJob(gateway, id, { headers: { 'if-none-match': '*' } });
    expect([miss.status, miss.body.length]).toEqual([304, 0]);
    expect(cacheStatus(miss)).toMatchObject({ fwd: 'token:miss' });
    const whole = await readJob(gateway, id);
    const known = await readJob(gateway, id, { headers: { 'if-none-match': String(whole.headers['etag']) } });
    expect([known.status, known.body.length]).toEqual([304, 0]);
    expect(known.headers['content-type']).toBeUndefined();
    const age = String(known.headers['age']);
    expect(age).toMatch(/^[01]$/);
    const maxAge = `private, max-age=${Number(age) + 3600}`;
    expect(copyHeaders(known)).toEqual({ ...copyHeaders(whole), age, 'cache-control': maxAge });
  });

  it('is absent for a missing job', async () => {
    const seen = await readJob(rig.gateway, randomUUID(), { headers: { 'if-none-match': '*' } });
    expect(seen.status).toBe(404);
  });
});

describe('HEAD', () => {
  it('has the status and headers of GET without the body, for hits, misses, 304 and errors', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob({
      body: `{"job":{"id":"$id","state":"success","iTwinId":"a","name":"${'ü'.repeat(5000)}"}}`,
    });
    const cold = await ask(gateway, 'HEAD', id);
    expect([cold.status, cold.body.length, upstream.count]).toEqual([200, 0, 1]);
    expect(cold.headers['content-length']).toBe(String(upstream.bodyOf(id).length));
    const tag = String(cold.headers['etag']);
    const unknown = randomUUID();
    await ask(gateway, 'GET', unknown);
    const cases: [string, Record<string, string>][] = [
      [id, {}],
      [id, { 'if-none-match': tag }],
      [unknown, {}],
      ['no-uuid', {}],
      [id, { authorization: 'Bearer nobody' }],
    ];
    for (const [jobId, headers] of cases) {
      const same = { 'x-correlation-id': 'one', ...headers };
      const [get, head] = [await ask(gateway, 'GET', jobId, same), await ask(gateway, 'HEAD', jobId, same)];
      expect(head.body).toHaveLength(0);
      expect(head.status).toBe(get.status);
      const timeless = { date: '', age: '', 'cache-control': '' };
      expect({ ...head.headers, ...timeless }).toEqual({ ...get.headers, ...timeless });
    }
    expect(upstream.count).toBe(2);
  });
});
