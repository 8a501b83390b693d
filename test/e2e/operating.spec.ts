import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { Gateway, testCaller } from '../support/gateway.ts';
import { jobIds, metric, readJob } from '../support/reads.ts';
import { sendRaw } from '../support/raw.ts';
import { startUpstream, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';

describe('health', () => {
  it('is live and ready without an upstream call, and lists its parts', async () => {
    const upstream = await startUpstream();
    const gateway = await startGateway({ upstream });
    const live = await request(gateway.url).get('/health/live').expect(200);
    expect(live.body).toEqual({ status: 'ok', info: {}, error: {}, details: {} });
    const ready = await request(gateway.url).get('/health/ready').expect(200);
    expect(ready.body).toMatchObject({
      status: 'ok',
      details: {
        gateway: { status: 'up', phase: 'serving' },
        upstream: { status: 'up', state: 'closed' },
        token: { status: 'up', state: 'none yet' },
        redis: { status: 'up', state: 'not used' },
        queue: { status: 'up', waiting: 0, limit: 1000 },
        gate: { status: 'up', closedSeconds: 0 },
      },
    });
    expect(upstream.count + upstream.tokenRequests.length).toBe(0);
  });

  it('stays ready, degraded, while the gate is closed and there is no token', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    const gateway = await startGateway({ upstream, env: { PATIENCE: '20s' } });
    upstream.fault({ kind: 'too-many', retryAfter: '600' }, { times: 1 });
    await readJob(gateway, id);
    const document = await request(gateway.url).get('/health/ready').expect(200);
    expect(document.body).toMatchObject({ status: 'degraded', details: { gate: { status: 'degraded' } } });
    const { closedSeconds } = (document.body as { details: { gate: { closedSeconds: number } } }).details
      .gate;
    for (const seconds of [closedSeconds, await metric(gateway, 'gateway_paused_seconds')]) {
      expect(seconds).toBeGreaterThan(500);
      expect(seconds).toBeLessThanOrEqual(600);
    }

    const refusing = await startUpstream({ tokenFault: { kind: 'status', status: 500 } });
    const tokenless = await startGateway({ upstream: refusing });
    await readJob(tokenless, id);
    const without = await request(tokenless.url).get('/health/ready').expect(200);
    expect(without.body).toMatchObject({ details: { token: { status: 'degraded', state: 'failing' } } });
  });
});

describe.each(['SIGTERM', 'SIGHUP'] as const)('%s', (signal) => {
  it('is not ready at once, serves for DRAIN_DELAY, finishes requests in progress and exits 0', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const gateway = await startGateway({ upstream, env: { DRAIN_DELAY: '5s', UPSTREAM_TIMEOUT: '2m' } });
    const [during = '', slow = ''] = jobIds(2);
    gateway.signal(signal);
    await gateway.logged((line) => line.msg === 'draining');
    const notReady = await request(gateway.url).get('/health/ready').expect(503);
    expect(notReady.body).toMatchObject({
      status: 'error',
      details: { gateway: { status: 'down', phase: 'draining' } },
    });
    await request(gateway.url).get('/health/live').expect(200);
    const served = await readJob(gateway, during);
    expect(served.status).toBe(200);
    // A kept connection would be cut later, so the caller is told to open another elsewhere.
    expect(served.headers['connection']).toBe('close');

    upstream.fault({ kind: 'hold' });
    const underWay = readJob(gateway, slow);
    await upstream.arrived(2);
    const isRefused = () =>
      readJob(gateway, during).then(
        () => false,
        () => true,
      );
    await until('no new connection is taken', isRefused);
    upstream.clearFaults();
    const [answer, status] = await Promise.all([underWay, gateway.exited]);
    expect(answer.status).toBe(200);
    expect(status).toBe(0);
  });
});

describe('SIGTERM', () => {
  it('ends the process with status 0 however early it arrives', async () => {
    const upstream = await startUpstream();
    // Loading the settings comes first and blocks on the secret here: nothing else has begun.
    const folder = mkdtempSync(join(tmpdir(), 'early-'));
    const secret = join(folder, 'secret');
    execFileSync('mkfifo', [secret]);
    const env = { ITWIN_CLIENT_SECRET: '', ITWIN_CLIENT_SECRET_FILE: secret };
    const starting = Promise.allSettled([Gateway.start({ upstream, env })]);
    const gateway = Gateway.latest;
    const writer = await open(secret, 'w');
    gateway?.signal('SIGTERM');
    await writer.writeFile(upstream.settings.clientSecret);
    await writer.close();
    expect(await gateway?.exited).toBe(0);
    await starting;
    await gateway?.stop();
    rmSync(folder, { recursive: true });
  });

  it('ends the process cleanly during startup', async () => {
    // A silent Redis delays the start briefly.
    const silent = createServer();
    const connected = once(silent, 'connection');
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const upstream = await startUpstream();
    const starting = Gateway.start({
      upstream,
      // Longer than the start waits for Redis.
      env: { REDIS_URL: `redis://127.0.0.1:${port}`, DRAIN_DELAY: '2s' },
    });
    const [socket] = (await connected) as [Socket];
    const gateway = Gateway.latest;
    gateway?.signal('SIGTERM');
    await starting;
    const ready = await request(gateway?.url ?? '').get('/health/ready');
    expect(ready.status).toBe(503);
    expect(await gateway?.stop()).toBe(0);
    socket.destroy();
    silent.close();
  });

  it('loses no queued read', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const env = { UPSTREAM_LIMITS: '20/1s', DRAIN_DELAY: '500ms', PATIENCE: '2m', UPSTREAM_TIMEOUT: '2m' };
    const gateway = await startGateway({ upstream, env });
    upstream.fault({ kind: 'hold' });
    const reads = jobIds(60).map((id) => readJob(gateway, id));
    // A connection that has not been accepted yet does not count.
    const waiting = async () => (await metric(gateway, 'gateway_queue_depth')) + upstream.count;
    await until('all have been taken', async () => (await waiting()) === 60);
    gateway.signal('SIGTERM');
    await gateway.logged((line) => line.msg === 'draining');
    upstream.clearFaults();
    const seen = await Promise.all(reads);
    expect(seen.every(({ status }) => status === 200)).toBe(true);
    expect(await gateway.exited).toBe(0);
    expect(upstream.count).toBe(60);
  });
});

describe('metrics and logs', () => {
  it('count each read once by outcome, status and caller, and log reads that went upstream or failed', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob({ state: 'success' });
    const gateway = await startGateway({ upstream });
    await readJob(gateway, id, { headers: { 'x-correlation-id': 'first-one' } });
    await readJob(gateway, id, { headers: { 'x-correlation-id': 'a-hit' } });
    await readJob(gateway, jobIds(1)[0] ?? '', { headers: { 'x-correlation-id': 'unknown' } });
    await readJob(gateway, id, { headers: { authorization: 'Bearer wrong' } });
    const line = await gateway.logged((entry) => entry['correlationId'] === 'first-one');
    expect(line).toMatchObject({
      msg: 'read',
      jobId: id,
      caller: 'tester',
      status: 200,
      outcome: 'upstream',
      upstream: { status: 200, correlationId: 'first-one' },
    });
    expect(await gateway.logged((entry) => entry['correlationId'] === 'unknown')).toMatchObject({
      status: 404,
      outcome: 'not-found',
      upstream: { status: 404, correlationId: 'unknown' },
    });
    await gateway.logged((entry) => entry['status'] === 401);
    expect(gateway.log.filter((entry) => entry['correlationId'] === 'a-hit')).toEqual([]);
    const count = (labels: Record<string, string>) => metric(gateway, 'gateway_job_reads_total', labels);
    expect(await count({ outcome: 'upstream', status: '200', caller: 'tester' })).toBe(1);
    expect(await count({ outcome: 'memory', status: '200', caller: 'tester' })).toBe(1);
    expect(await count({ outcome: 'not-found', status: '404', caller: 'tester' })).toBe(1);
    expect(await count({ outcome: 'error', status: '401', caller: '' })).toBe(1);
    expect(await metric(gateway, 'gateway_upstream_requests_total', { status: '200' })).toBe(1);
    expect(await metric(gateway, 'gateway_upstream_requests_total', { status: '404' })).toBe(1);
    expect(await metric(gateway, 'gateway_token_refreshes_total', { result: 'ok' })).toBe(1);
    expect(await metric(gateway, 'gateway_budget_remaining', { window: '1m' })).toBe(100_000 - 2);
    expect(await metric(gateway, 'gateway_budget_mode', { mode: 'local' })).toBe(1);
    expect(await metric(gateway, 'gateway_job_read_seconds_count')).toBe(4);
    expect(await metric(gateway, 'gateway_queue_wait_seconds_count')).toBe(2);
    expect(await metric(gateway, 'process_cpu_seconds_total')).toBeGreaterThan(0);
  });

  it("contain upstream's 429 and its correlation id when no retry follows", async () => {
    const [busy, other] = [testCaller('busy'), testCaller('other')];
    const upstream = await startUpstream({ unknownJobs: 'make', latencyMs: 500 });
    const env = { UPSTREAM_CONCURRENCY: '1', PATIENCE: '6s' };
    const gateway = await startGateway({ upstream, callers: [busy, other], env });
    const [retried = '', held = '', refused = ''] = jobIds(3);
    upstream.fault({ kind: 'too-many', retryAfter: '2' }, { jobId: retried, times: 1 });
    upstream.fault({ kind: 'hold' }, { jobId: held });
    const reads = [readJob(gateway, retried, { headers: { 'x-correlation-id': 'retried' } })];
    await upstream.arrived(1);
    // Occupies the slot until the patience of the first, which is queued again, has ended.
    reads.push(readJob(gateway, held, { caller: other }));
    expect((await reads[0])?.status).toBe(429);
    upstream.clearFaults();
    expect((await reads[1])?.status).toBe(200);
    upstream.fault({ kind: 'too-many', retryAfter: '600' }, { times: 1 });
    await readJob(gateway, refused, { headers: { 'x-correlation-id': 'refused' } });
    for (const correlationId of ['retried', 'refused']) {
      expect(await gateway.logged((entry) => entry['correlationId'] === correlationId)).toMatchObject({
        status: 429,
        outcome: 'refused',
        upstream: { status: 429, correlationId },
      });
    }
  });

  it('echo a valid correlation id, send it upstream, and create one otherwise', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    const gateway = await startGateway({ upstream });
    const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
    const given = await readJob(gateway, id, { headers: { 'x-correlation-id': 'any printable ~ text' } });
    expect(given.headers['x-correlation-id']).toBe('any printable ~ text');
    expect(upstream.calls[0]?.correlationId).toBe('any printable ~ text');
    for (const unusable of ['x'.repeat(129), 'é']) {
      const { headers } = await readJob(gateway, id, { headers: { 'x-correlation-id': unusable } });
      expect(headers['x-correlation-id']).toMatch(uuid);
    }
    for (const path of ['/health/live', '/metrics', '/nowhere']) {
      const { headers } = await request(gateway.url).get(path).set('x-correlation-id', 'mine');
      expect(headers['x-correlation-id']).toBe('mine');
    }
    const { headers } = await sendRaw(gateway.url, 'nonsense\r\n\r\n');
    expect(headers['x-correlation-id']).toMatch(uuid);
  });

  it('count a call that is cancelled when its last waiter leaves', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    upstream.fault({ kind: 'hang' });
    const gateway = await startGateway({ upstream });
    const leaving = new AbortController();
    const gone = readJob(gateway, id, { signal: leaving.signal });
    await upstream.arrived(1);
    leaving.abort();
    await expect(gone).rejects.toThrow();
    await gateway.logged((line) => line['outcome'] === 'gone');
    expect(await metric(gateway, 'gateway_upstream_requests_total', { status: 'cancelled' })).toBe(1);
    expect(gateway.log.filter((line) => Number(line['level']) >= 50)).toEqual([]);
  });
});
