import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { EventSource } from 'eventsource';
import { startNginx } from '../support/nginx.ts';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';
import { Watcher } from '../support/watcher.ts';

/** A gateway behind nginx, and a running job. */
async function behindNginx() {
  const upstream = await startUpstream();
  const gateway = await startGateway({ upstream, env: { ACTIVE_FRESH: '200ms' } });
  const url = await startNginx(gateway.url);
  const { id } = upstream.addJob({ state: 'active' });
  return { upstream, gateway, url, id, ingress: { url, bearer: () => gateway.bearer() } };
}

describe('behind nginx with its defaults', () => {
  it('events and the end arrive when they are sent', async () => {
    const { upstream, id, ingress } = await behindNginx();
    const watcher = await Watcher.open(ingress, id);
    expect(await watcher.state(1)).toBe('active');
    upstream.setState(id, 'almost');
    expect(await watcher.state(2)).toBe('almost');
    upstream.setState(id, 'success');
    await watcher.closed();
    expect(watcher.events.map(({ event }) => event)).toEqual(['job', 'job', 'job', 'end']);
  });

  it('other responses are buffered: without X-Accel-Buffering the test above would fail', async () => {
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: job\ndata: {}\n\n');
      setTimeout(() => response.end('event: end\ndata: {}\n\n'), 1000);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    atEnd(async () => server.close());
    const url = await startNginx(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const since = performance.now();
    const watcher = await Watcher.open({ url, bearer: () => 'Bearer x' }, 'any');
    const { at } = await watcher.event(1);
    expect(at - since).toBeGreaterThan(900);
    await watcher.closed();
  });

  it('a disconnect of a reader is noticed', async () => {
    const { gateway, id, ingress } = await behindNginx();
    const watcher = await Watcher.open(ingress, id);
    await watcher.event(1);
    watcher.leave();
    const watchers = async (): Promise<string> => (await fetch(`${gateway.url}/metrics`)).text();
    await until('nobody watches', async () => /^gateway_watchers 0$/m.test(await watchers()));
  });

  it('the npm package eventsource and fetch read the stream', async () => {
    const { upstream, gateway, url, id } = await behindNginx();
    const address = `${url}/contextcapture/jobs/events?ids=${id}`;
    const authorization = gateway.bearer();
    const source = new EventSource(address, {
      fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, authorization } }),
    });
    atEnd(async () => source.close());
    const told: string[] = [];
    source.addEventListener('job', () => told.push('job'));
    source.addEventListener('end', () => told.push('end'));
    await until('the first is told', () => told.length === 1);
    let text = '';
    const answer = await fetch(address, { headers: { authorization } });
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.includes('"active"')) upstream.setState(id, 'success');
    }
    expect(text.match(/^event: .*$/gm)).toEqual(['event: job', 'event: job', 'event: end']);
    await until('it is closed', () => source.readyState === EventSource.CLOSED, 10_000);
    expect(told).toEqual(['job', 'job', 'end']);
  });
});
