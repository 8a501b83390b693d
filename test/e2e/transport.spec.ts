import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { Connections } from '../support/connections.ts';
import { errorOf, jobIds, readJob, type Seen } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';

describe('connections', () => {
  it('are reused: sequential reads need one, ten at a time ten; those closed by upstream do no harm', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make', latencyMs: 10 });
    const connections = await Connections.start(upstream.url);
    atEnd(() => connections.stop());
    const env = { ITWIN_API_URL: connections.url, ITWIN_TOKEN_URL: `${connections.url}/connect/token` };
    const gateway = await startGateway({ upstream, env });
    const read = (id: string): Promise<Seen> => readJob(gateway, id);
    const seen: Seen[] = [];
    for (const id of jobIds(30)) seen.push(await read(id));
    expect(connections.count).toBe(1);
    for (let round = 0; round < 3; round++) seen.push(...(await Promise.all(jobIds(40).map(read))));
    expect(connections.count).toBeLessThanOrEqual(10);
    const calls = upstream.count;
    connections.cut();
    for (const id of jobIds(5)) seen.push(await read(id));
    expect(seen.map(({ status }) => status)).toEqual(seen.map(() => 200));
    expect(upstream.count).toBe(calls + 5);
  });
});

describe('a call', () => {
  const rig = shareRig({}, () => ({ env: { UPSTREAM_TIMEOUT: '1m' } }));
  const MEDIA_TYPE = 'application/vnd.bentley.itwin-platform.v1+json';

  it('requests the recommended media type, with the gateway’s token and the caller’s correlation id', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob();
    const headers = { 'x-correlation-id': 'trace-me', accept: 'text/plain', connection: 'close' };
    const seen = await readJob(gateway, id.toUpperCase(), { headers });
    const [call] = upstream.calls;
    expect(call!.jobId).toBe(id);
    expect(call!.headers).toMatchObject({
      accept: MEDIA_TYPE,
      authorization: `Bearer ${call!.token}`,
      'x-correlation-id': 'trace-me',
    });
    expect(JSON.stringify(call!.headers)).not.toContain(gateway.callers[0]!.key);
    expect(seen.headers['x-correlation-id']).toBe('trace-me');
  });

  it('has a new correlation id when the caller’s is absent or invalid, which the caller gets too', async () => {
    const { upstream, gateway } = rig;
    for (const headers of [{}, { 'x-correlation-id': 'x'.repeat(129) }, { 'x-correlation-id': 'ü' }]) {
      const { id } = upstream.addJob();
      const seen = await readJob(gateway, id, { headers });
      expect(seen.headers['x-correlation-id']).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      expect(upstream.callsFor(id)[0]!.correlationId).toBe(seen.headers['x-correlation-id']);
    }
  });

  it('follows no redirect, which could leak the token', async () => {
    const { upstream, gateway } = rig;
    const elsewhere = await startUpstream();
    for (const status of [301, 302, 303, 307, 308]) {
      const id = randomUUID();
      const location = `${elsewhere.url}/contextcapture/jobs/${id}`;
      elsewhere.addJob({ id });
      upstream.fault({ kind: 'status', status, headers: { location } }, { jobId: id });
      const seen = await readJob(gateway, id);
      expect([seen.status, errorOf(seen).code]).toEqual([502, 'UpstreamError']);
      expect(seen.headers['location']).toBeUndefined();
      expect(JSON.stringify(errorOf(seen))).not.toContain('127.0.0.1');
    }
    expect(elsewhere.count).toBe(0);
  });

  it('follows no redirect of the token endpoint, which could leak the secret', async () => {
    const { upstream, gateway } = rig;
    const elsewhere = await startUpstream();
    upstream.set({ tokenFault: { kind: 'status', status: 307, headers: { location: elsewhere.tokenUrl } } });
    upstream.revokeTokens();
    const { id } = upstream.addJob();
    expect(errorOf(await readJob(gateway, id)).code).toBe('ServiceUnavailable');
    expect(elsewhere.tokenRequests).toHaveLength(0);
    upstream.set({ tokenFault: null });
    await until('it recovers', async () => (await readJob(gateway, id)).status === 200);
  });

  it('waits only briefly for the body of an error', async () => {
    const { upstream, gateway } = rig;
    const id = randomUUID();
    const body = { error: { code: 'SomeCode', message: 'Words.' } };
    upstream.fault({ kind: 'status', status: 422, body, hangs: true }, { jobId: id });
    const seen = await readJob(gateway, id);
    expect([seen.status, errorOf(seen).code]).toEqual([422, 'InvalidContextCaptureRequest']);
    // Its call would time out after a minute.
    expect(seen.tookMs).toBeLessThan(30_000);
  });

  it('relays no header of upstream except the content type', async () => {
    const { upstream, gateway } = rig;
    const headers = {
      'set-cookie': 'a=b',
      'x-internal': 'yes',
      etag: '"theirs"',
      age: '77',
      server: 'theirs',
    };
    const id = randomUUID();
    const body = { job: { id, state: 'success', iTwinId: 'a' } };
    upstream.fault(
      { kind: 'status', status: 200, body, headers: { ...headers, 'cache-control': 'public' } },
      { jobId: id },
    );
    const seen = await readJob(gateway, id);
    const known = [
      'etag',
      'age',
      'cache-control',
      'cache-status',
      'content-type',
      'content-length',
      'x-correlation-id',
    ];
    const ofTheServer = [
      'date',
      'connection',
      'keep-alive',
      'ratelimit',
      'ratelimit-policy',
      'vary',
      'x-content-type-options',
    ];
    expect(Object.keys(seen.headers).filter((name) => ![...known, ...ofTheServer].includes(name))).toEqual(
      [],
    );
    expect([seen.headers['etag'] === '"theirs"', seen.headers['age']]).toEqual([false, '0']);
  });
});
