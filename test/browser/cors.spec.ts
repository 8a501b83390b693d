import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';
import { shareChromium } from './chromium.ts';

const openPage = shareChromium();

/** Somebody's page, at an origin of its own. */
async function servePage(): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>A dashboard</title>');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(async () => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What a page's script sees of a read: status, error code and the fields of the answer; or that it may not. */
const READ = `async ({ url, key, more }) => {
  try {
    const answer = await fetch(url, { headers: { authorization: key, ...more } });
    const { error, job } = await answer.json();
    return { status: answer.status, code: error?.code, id: job?.id, etag: answer.headers.get('etag'), cacheStatus: answer.headers.get('cache-status') };
  } catch (error) {
    return { refused: String(error) };
  }
}`;

describe('a page of another origin, in a browser', () => {
  it('reads jobs, their fields and errors when its origin is named, and nothing when it is not', async () => {
    const [origin, stranger] = [await servePage(), await servePage()];
    const upstream = await startUpstream();
    const gateway = await startGateway({ upstream, env: { CORS_ORIGINS: origin } });
    const { id } = upstream.addJob();
    const { page } = await openPage();
    const read = (path: string, more = {}) =>
      page.evaluate(`(${READ})(${JSON.stringify({ url: gateway.url + path, key: gateway.bearer(), more })})`);
    await page.goto(origin);
    const sent = {
      prefer: 'wait=5',
      'cache-control': 'max-age=60',
      'x-correlation-id': 'mine',
      'content-type': 'a/b',
    };
    expect(await read(`/contextcapture/jobs/${id}`, sent)).toMatchObject({
      status: 200,
      id,
      etag: expect.stringMatching(/^"/) as unknown,
      cacheStatus: expect.stringContaining('fwd=miss') as unknown,
    });
    expect(await read('/contextcapture/jobs/none')).toMatchObject({ status: 404, code: 'JobNotFound' });
    expect(await read('/metrics')).toMatchObject({ refused: expect.any(String) as unknown });
    await page.goto(stranger);
    expect(await read(`/contextcapture/jobs/${id}`)).toMatchObject({
      refused: expect.any(String) as unknown,
    });
  });
});
