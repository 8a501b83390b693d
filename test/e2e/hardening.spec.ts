import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { testCaller } from '../support/gateway.ts';
import { errorOf, jobIds, metric, readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';
import { answerTo, open } from '../support/wire.ts';

const JOB = '/contextcapture/jobs/3fa85f64-5717-4562-b3fc-2c963f66afa6';

describe('every answer', () => {
  const rig = shareRig();

  it.each([
    ['a job', (key: string) => `GET ${JOB} HTTP/1.1\r\nHost: a\r\n${key}\r\n`],
    ['no key', () => `GET ${JOB} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['another method', (key: string) => `POST ${JOB} HTTP/1.1\r\nHost: a\r\n${key}\r\n`],
    ['no route', () => 'GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['health', () => 'GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['metrics', () => 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['the console', () => 'GET /console HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['the docs', () => 'GET /docs HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a head too large', () => `GET / HTTP/1.1\r\nHost: a\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`],
    ['CONNECT', () => 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['no HTTP', () => 'hello\r\n\r\n'],
    ['what the router cannot make out', () => 'GET /contextcapture/jobs/%00%ff HTTP/1.1\r\nHost: a\r\n\r\n'],
  ])('has a fixed content type, and names no software: %s', async (_, bytes) => {
    const { headers } = await answerTo(rig.gateway.url, bytes(`Authorization: ${rig.gateway.bearer()}\r\n`));
    expect(headers['x-content-type-options']).toBe('nosniff');
    for (const banner of ['server', 'x-powered-by', 'via']) expect(headers[banner]).toBeUndefined();
    expect(JSON.stringify(headers)).not.toMatch(/fastify|nest|node/i);
  });

  it('with a page forbids foreign scripts, framing and referrers', async () => {
    for (const path of ['/console', '/docs']) {
      const { headers } = await answerTo(rig.gateway.url, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      expect(headers['content-security-policy']).toMatch(/^default-src 'none';.*frame-ancestors 'none'$/);
      expect(headers['content-security-policy']).not.toMatch(/unsafe|\*|https?:/);
      expect(headers['referrer-policy']).toBe('no-referrer');
    }
  });
});

describe('MAX_CONNECTIONS', () => {
  it('bounds open connections; further ones are closed at once, which is logged once', async () => {
    const gateway = await startGateway({ upstream: await startUpstream(), env: { MAX_CONNECTIONS: '3' } });
    const held = await Promise.all([1, 2, 3].map(() => open(gateway.url)));
    atEnd(async () => held.forEach((socket) => socket.destroy()));
    const alive = 'GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n';
    for (let more = 0; more < 5; more++) {
      const { hostname, port } = new URL(gateway.url);
      const socket = connect(Number(port), hostname).on('error', () => undefined);
      socket.write(alive);
      let answer = '';
      socket.on('data', (chunk) => (answer += String(chunk)));
      await new Promise((resolve) => socket.once('close', resolve));
      expect(answer).toBe('');
    }
    held[0]!.write(alive);
    const [answer] = (await once(held[0]!, 'data')) as [Buffer];
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
    await gateway.logged(({ msg }) => msg === 'connections refused');
    expect(gateway.log.filter(({ msg }) => msg === 'connections refused')).toHaveLength(1);
    held[1]!.destroy();
    await until('there is room again', async () => {
      const seen = await answerTo(gateway.url, alive).catch(() => undefined);
      return seen?.status === 200;
    });
  });
});

describe('CALLER_QUEUE', () => {
  it('bounds the queued reads of one caller: further ones get 429, those of others wait', async () => {
    const upstream = await startUpstream();
    const callers = [testCaller('flood'), testCaller('other')];
    const env = {
      UPSTREAM_CONCURRENCY: '1',
      CALLER_QUEUE: '3',
      QUEUE_LIMIT: '100',
      PATIENCE: '2m',
      UPSTREAM_TIMEOUT: '2m',
    };
    const gateway = await startGateway({ upstream, callers, env });
    upstream.fault({ kind: 'hold' });
    const read = (caller = callers[0]!) => readJob(gateway, jobIds(1)[0]!, { caller });
    const first = read();
    await upstream.arrived(1);
    const untilWaiting = (count: number): Promise<void> =>
      until(`${count} wait`, async () => (await metric(gateway, 'gateway_queue_depth')) === count);
    const waiting = [read(), read(), read()];
    await untilWaiting(3);
    for (let more = 0; more < 3; more++) {
      const refused = await read();
      expect([refused.status, errorOf(refused).code]).toEqual([429, 'TooManyRequests']);
      expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    }
    const others = [read(callers[1]), read(callers[1])];
    await untilWaiting(5);
    upstream.clearFaults();
    const seen = await Promise.all([first, ...waiting, ...others]);
    expect(seen.map(({ status }) => status)).toEqual(seen.map(() => 404));
  });
});
