import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { describe, expect, it } from '@jest/globals';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { ForwardProxy } from '../support/forward-proxy.ts';
import { errorOf, readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';

async function startProxy(): Promise<ForwardProxy> {
  const proxy = await ForwardProxy.start();
  atEnd(() => proxy.stop());
  return proxy;
}

/** The fake upstream behind TLS. @returns the port */
async function serveTls(upstream: FakeUpstream, { key, cert }: Certificates): Promise<number> {
  const server = createServer({ key, cert }, (socket) => {
    const onwards = connect(Number(new URL(upstream.url).port), '127.0.0.1');
    for (const end of [socket, onwards]) end.on('error', () => end.destroy());
    socket.pipe(onwards).pipe(socket);
    socket.on('close', () => onwards.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(async () => server.close());
  return (server.address() as AddressInfo).port;
}

describe('a forward proxy', () => {
  it('is used for http with HTTP_PROXY, with its credentials, except for NO_PROXY', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    const proxy = await startProxy();
    const HTTP_PROXY = `http://user:proxy-password@127.0.0.1:${proxy.port}`;
    const [through, direct] = await Promise.all([
      startGateway({ upstream, env: { HTTP_PROXY } }),
      startGateway({ upstream, env: { http_proxy: HTTP_PROXY, NO_PROXY: '127.0.0.1,localhost' } }),
    ]);
    expect((await readJob(direct, id)).status).toBe(200);
    expect(proxy.seen).toHaveLength(0);

    const seen = await readJob(through, id);
    expect(seen.body.equals(upstream.bodyOf(id))).toBe(true);
    const authorization = `Basic ${Buffer.from('user:proxy-password').toString('base64')}`;
    expect(proxy.seen).toEqual([
      { line: `POST ${upstream.tokenUrl}`, authorization },
      { line: `GET ${upstream.url}/contextcapture/jobs/${id}`, authorization },
    ]);
    expect(upstream.calls.every(({ headers }) => headers['proxy-authorization'] === undefined)).toBe(true);

    await proxy.stop();
    const failed = await readJob(through, upstream.addJob().id);
    expect([failed.status, errorOf(failed).code]).toEqual([502, 'UpstreamError']);
    expect(failed.body.toString() + through.output + direct.output).not.toContain('proxy-password');
  });

  it('is used as a tunnel for https, with certificate checks that honour NODE_EXTRA_CA_CERTS', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    const folder = mkdtempSync(join(tmpdir(), 'certificates-'));
    atEnd(async () => rmSync(folder, { recursive: true }));
    const certificates = makeCertificates(folder);
    const port = await serveTls(upstream, certificates);
    const proxy = await startProxy();
    const url = `https://localhost:${port}`;
    const env = { ITWIN_API_URL: url, ITWIN_TOKEN_URL: `${url}/connect/token` };
    const HTTPS_PROXY = `http://127.0.0.1:${proxy.port}`;
    const trusted = { ...env, NODE_EXTRA_CA_CERTS: certificates.authority };
    const [tunnelled, direct, distrustful] = await Promise.all([
      startGateway({ upstream, env: { ...trusted, HTTPS_PROXY } }),
      startGateway({ upstream, env: trusted }),
      startGateway({ upstream, env }),
    ]);
    expect((await readJob(direct, id)).body.equals(upstream.bodyOf(id))).toBe(true);
    expect(proxy.seen).toHaveLength(0);

    for (const jobId of [id, upstream.addJob().id]) {
      expect((await readJob(tunnelled, jobId)).body.equals(upstream.bodyOf(jobId))).toBe(true);
    }
    // One tunnel is reused, and the proxy sees no content.
    expect(proxy.seen.map(({ line }) => line)).toEqual([`CONNECT localhost:${port}`]);

    const calls = upstream.count + upstream.tokenRequests.length;
    const failed = await readJob(distrustful, id);
    expect([failed.status, errorOf(failed).code]).toEqual([503, 'ServiceUnavailable']);
    expect(failed.body.toString()).not.toMatch(/localhost|certificate/);
    expect(upstream.count + upstream.tokenRequests.length).toBe(calls);
  });
});
