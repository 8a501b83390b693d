import { describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import type { Gateway } from '../support/gateway.ts';
import { Collector } from '../support/collector.ts';
import { startUpstream, startGateway } from '../support/rig.ts';

const OWN = 'https://dashboard.example';
const JOB = '/contextcapture/jobs/3fa85f64-5717-4562-b3fc-2c963f66afa6';
const CALLERS_PATHS = [JOB, `/contextcapture/jobs/events`, '/openapi.json'];
const OTHER_PATHS = ['/metrics', '/health/ready', '/console', '/console/events', '/docs', '/nothing', '/'];

async function start(CORS_ORIGINS: string): Promise<{ upstream: FakeUpstream; gateway: Gateway }> {
  const upstream = await startUpstream();
  return { upstream, gateway: await startGateway({ upstream, env: { CORS_ORIGINS } }) };
}

function preflight(gateway: Gateway, path: string, origin = OWN) {
  return request(gateway.url).options(path).set({
    origin,
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'authorization, prefer, if-none-match',
  });
}

const corsFields = (headers: Record<string, string>): string[] =>
  Object.keys(headers).filter((name) => name.startsWith('access-control') || name === 'vary');

describe('pages of other origins', () => {
  it('read nothing without CORS_ORIGINS', async () => {
    const { upstream, gateway } = await start('');
    for (const path of CALLERS_PATHS) {
      const asked = await preflight(gateway, path).set('authorization', gateway.bearer()).expect(405);
      expect(corsFields(asked.headers as Record<string, string>)).toEqual([]);
    }
    const { id } = upstream.addJob();
    const read = await request(gateway.url)
      .get(`/contextcapture/jobs/${id}`)
      .set({ origin: OWN, authorization: gateway.bearer() })
      .expect(200);
    expect(corsFields(read.headers as Record<string, string>)).toEqual([]);
  });

  it('of the listed origins can read answers and errors, and others cannot', async () => {
    const { upstream, gateway } = await start(`https://other.example:8443, ${OWN}`);
    for (const path of CALLERS_PATHS) {
      const { headers } = await preflight(gateway, path).expect(204);
      expect(headers).toMatchObject({
        'access-control-allow-origin': OWN,
        'access-control-allow-methods': 'GET, HEAD',
        'access-control-allow-headers':
          'Authorization, X-Correlation-Id, If-None-Match, Cache-Control, Prefer, Last-Event-ID, Content-Type',
        'x-correlation-id': expect.any(String) as unknown,
        vary: 'Origin',
      });
      expect(headers['access-control-allow-credentials']).toBeUndefined();
    }
    const { id } = upstream.addJob();
    const read = (origin: string, path = `/contextcapture/jobs/${id}`) =>
      request(gateway.url).get(path).set({ origin, authorization: gateway.bearer() });
    for (const answer of [await read(OWN).expect(200), await read(OWN, JOB).expect(404)]) {
      expect(answer.headers).toMatchObject({
        'access-control-allow-origin': OWN,
        'access-control-expose-headers':
          'ETag, Age, Cache-Status, RateLimit-Policy, RateLimit, Retry-After, X-Correlation-Id, WWW-Authenticate',
        vary: 'Origin',
      });
    }
    const noKey = await request(gateway.url).get(JOB).set({ origin: OWN }).expect(401);
    expect(noKey.headers['access-control-allow-origin']).toBe(OWN);
    for (const origin of [
      'https://evil.example',
      `${OWN}.evil.example`,
      'http://dashboard.example',
      'null',
    ]) {
      const refused = await preflight(gateway, JOB, origin)
        .set('authorization', gateway.bearer())
        .expect(405);
      expect(corsFields(refused.headers as Record<string, string>)).toEqual(['vary']);
      expect(corsFields((await read(origin)).headers as Record<string, string>)).toEqual(['vary']);
    }
    const stream = await read(
      OWN,
      `/contextcapture/jobs/events?ids=${upstream.addJob({ state: 'success' }).id}`,
    );
    expect(stream.headers['access-control-allow-origin']).toBe(OWN);
    for (const path of OTHER_PATHS) {
      const { status, headers } = await preflight(gateway, path);
      expect([401, 404, 405]).toContain(status);
      expect(corsFields(headers as Record<string, string>)).toEqual([]);
      expect(corsFields((await read(OWN, path)).headers as Record<string, string>)).toEqual([]);
    }
    // OPTIONS without a preflight is an unsupported method.
    await request(gateway.url).options(JOB).set('authorization', gateway.bearer()).expect(405);
    await request(gateway.url).options(JOB).expect(401);
  });

  it('can send trace context when tracing is on', async () => {
    const [upstream, collector] = [await startUpstream(), await Collector.start()];
    const env = { CORS_ORIGINS: OWN, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    const gateway = await startGateway({ upstream, env });
    const { headers } = await preflight(gateway, JOB).expect(204);
    expect(headers['access-control-allow-headers']).toBe(
      'Authorization, X-Correlation-Id, If-None-Match, Cache-Control, Prefer, Last-Event-ID, Content-Type, traceparent, tracestate',
    );
  });

  it('of all origins can read with *, without cookies', async () => {
    const { gateway } = await start('*');
    const { headers } = await preflight(gateway, JOB, 'https://anyone.example').expect(204);
    expect(headers).toMatchObject({ 'access-control-allow-origin': '*' });
    expect(headers['vary']).toBeUndefined();
    expect(headers['access-control-allow-credentials']).toBeUndefined();
  });
});
