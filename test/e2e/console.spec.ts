import { writeFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { EventStream } from '../support/event-stream.ts';
import { callersFile, type Gateway, testCaller, testOperator } from '../support/gateway.ts';
import { readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';

const operator = testOperator('operator');
const callers = [operator, testCaller('dashboard')];

async function openStates(gateway: Gateway, by = operator): Promise<EventStream> {
  const stream = await EventStream.open(`${gateway.url}/console/events`, gateway.bearer(by));
  atEnd(async () => stream.close());
  return stream;
}

describe('the console', () => {
  const rig = shareRig({}, () => ({
    callers,
    env: { UPSTREAM_LIMITS: '500/1m,5000/1h', PATIENCE: '20s' },
  }));

  it('is a page with only its own assets, available without a key', async () => {
    const page = await request(rig.gateway.url).get('/console').expect(200);
    expect(page.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-cache',
    });
    const assets = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address = '']) => address);
    expect(assets).toContain('console/uplot.css');
    for (const asset of assets) {
      const { headers } = await request(rig.gateway.url).get(`/${asset}`).expect(200);
      expect(headers['x-content-type-options']).toBe('nosniff');
      await request(rig.gateway.url).get(`/${asset}`).set('if-none-match', headers['etag']!).expect(304);
    }
    const plots = await request(rig.gateway.url).get('/console/plot.js').expect(200);
    expect(plots.headers['content-type']).toBe('text/javascript; charset=utf-8');
    expect(plots.text).toContain("from './uplot.js'");
    await request(rig.gateway.url).get('/console/uplot.js').expect(200);
  });

  it('serves no other file, and only GET and HEAD', async () => {
    for (const path of [
      '/console/nothing.js',
      '/console/..%2fmain.js',
      '/console/%2e%2e%2fmain.js',
      '/console/',
    ]) {
      const answer = await request(rig.gateway.url).get(path).expect(404);
      expect(answer.body).toMatchObject({ error: { code: 'NotFound' } });
    }
    await request(rig.gateway.url).head('/console').expect(200);
    const refused = await request(rig.gateway.url).post('/console').expect(405);
    expect(refused.headers['allow']).toBe('GET, HEAD');
  });

  it('shows the state only to operators', async () => {
    const path = '/console/events';
    const none = await request(rig.gateway.url).get(path).expect(401);
    expect(none.body).toMatchObject({ error: { code: 'HeaderNotFound' } });
    await request(rig.gateway.url).get(path).set('authorization', 'Bearer wrong').expect(401);
    const other = { authorization: rig.gateway.bearer(callers[1]) };
    const refused = await request(rig.gateway.url).get(path).set(other).expect(403);
    expect(refused.body).toMatchObject({ error: { code: 'InsufficientPermissions' } });
    const own = { authorization: rig.gateway.bearer(operator) };
    await request(rig.gateway.url).head(path).set(own).expect(200);
    await request(rig.gateway.url).post(path).set(own).expect(405);
  });

  it('sends the state at once and then every second, unbuffered', async () => {
    const { id } = rig.upstream.addJob();
    await readJob(rig.gateway, id);
    await readJob(rig.gateway, id);
    rig.upstream.fault({ kind: 'too-many', retryAfter: '600' }, { times: 1 });
    await readJob(rig.gateway, rig.upstream.addJob().id);
    const stream = await openStates(rig.gateway);
    expect(stream.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      'x-correlation-id': expect.any(String) as unknown,
    });
    await until('there is a state at once', () => stream.states.length > 0);
    expect(stream.states[0]).toMatchObject({
      phase: 'serving',
      budget: {
        mode: 'local',
        windows: [
          { name: '1m', limit: 500 },
          { name: '1h', limit: 5000 },
        ],
      },
      queue: { waiting: 0, limit: 1000 },
      reads: { upstream: 1, memory: 1, refused: 1 },
      upstream: { 200: 1, 429: 1 },
      circuit: 'closed',
      token: 'good',
      redis: 'not used',
    });
    const { closedMs } = stream.states[0]!['budget'] as { closedMs: number };
    expect(closedMs).toBeGreaterThan(500_000);
    await until('there is another', () => stream.states.length > 1);
  });

  it('allows twenty streams', async () => {
    const streams = await Promise.all(Array.from({ length: 20 }, () => openStates(rig.gateway)));
    expect(streams.map(({ status }) => status)).toEqual(streams.map(() => 200));
    const more = await openStates(rig.gateway);
    expect(more.status).toBe(503);
    expect(Number(more.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    streams[0]!.close();
    await until('a place is free', async () => (await openStates(rig.gateway)).status === 200);
  });
});

describe('a state stream', () => {
  it('ends when its reader is no longer an operator', async () => {
    const gateway = await startGateway({ upstream: await startUpstream(), callers });
    const stream = await openStates(gateway);
    writeFileSync(gateway.callersPath, callersFile([{ ...operator, operator: false }]));
    await stream.ended;
    expect((await openStates(gateway)).status).toBe(403);
  });

  it('shows the drain and does not delay it, read or not', async () => {
    const gateway = await startGateway({
      upstream: await startUpstream(),
      callers,
      env: { DRAIN_DELAY: '1500ms' },
    });
    const stream = await openStates(gateway);
    (await openStates(gateway)).stall();
    gateway.signal('SIGTERM');
    await until('it says so', () => stream.states.at(-1)?.['phase'] === 'draining');
    await stream.ended;
    expect(await gateway.exited).toBe(0);
  });

  it('is public with AUTH=off, and the page then asks for no key', async () => {
    const gateway = await startGateway({ upstream: await startUpstream(), env: { AUTH: 'off' } });
    const stream = await EventStream.open(`${gateway.url}/console/events`, '');
    expect(stream.status).toBe(200);
    stream.close();
    const { text } = await request(gateway.url).get('/console');
    expect(text).toContain('data-asks-for-key="no"');
  });
});
