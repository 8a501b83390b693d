import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { describe, expect, it } from '@jest/globals';
import { EventSource } from 'eventsource';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { Connections } from '../support/connections.ts';
import type { Gateway } from '../support/gateway.ts';
import { jobIds, metric, readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';
import { Watcher } from '../support/watcher.ts';

const rig = shareRig({}, () => ({ env: { ACTIVE_FRESH: '200ms' } }));

/** More than the buffers of a connection. */
const VERSIONS = 40;
const FILLER = 'x'.repeat(2 ** 20);

const versionIn = (data: string): number => (JSON.parse(data) as { job: { version: number } }).job.version;

/** Updates a job of one megabyte repeatedly; fast readers see every version. */
async function write(
  upstream: FakeUpstream,
  gateway: Gateway,
  id: string,
  { state = 'active', quick }: { state?: string; quick?: Watcher } = {},
): Promise<void> {
  for (let version = 1; version <= VERSIONS; version++) {
    const job = { id, state: version === VERSIONS ? state : 'active', version, filler: FILLER };
    upstream.addJob({ id, body: JSON.stringify({ job }) });
    await readJob(gateway, id, { headers: { 'cache-control': 'no-cache' } });
    await quick?.event(version + 1);
  }
}

function startJob(upstream: FakeUpstream): string {
  const [id = ''] = jobIds(1);
  upstream.addJob({ id, body: '{"job":{"id":"$id","state":"active","version":0}}' });
  return id;
}

describe('a slow reader', () => {
  it('gets the latest state without a backlog, while others get every change, and can reconnect', async () => {
    const { upstream, gateway } = rig;
    const id = startJob(upstream);
    const [quick, slow, leaving] = [
      await Watcher.open(gateway, id),
      await Watcher.open(gateway, id),
      await Watcher.open(gateway, id),
    ];
    await Promise.all([quick, slow, leaving].map((watcher) => watcher.event(1)));
    for (const watcher of [slow, leaving]) watcher.pause();
    await write(upstream, gateway, id, { quick });
    expect(versionIn((await quick.event(VERSIONS + 1)).data)).toBe(VERSIONS);
    leaving.leave();
    const again = await Watcher.open(gateway, id);
    expect(versionIn((await again.event(1)).data)).toBe(VERSIONS);

    slow.resume();
    const isLatest = () => versionIn(slow.events.at(-1)!.data) === VERSIONS;
    await slow.until('the latest', isLatest);
    // The versions in the connection's buffers, and the latest.
    expect(slow.events.length).toBeLessThan(VERSIONS / 2);
    upstream.addJob({ id, body: '{"job":{"id":"$id","state":"success","version":-1}}' });
    await Promise.all([quick, slow, again].map((watcher) => watcher.closed()));
    for (const { events } of [quick, slow, again]) {
      expect(events.slice(-2).map(({ event }) => event)).toEqual(['job', 'end']);
    }
  });

  it('gets the end after the latest state, however late', async () => {
    const { upstream, gateway } = rig;
    const id = startJob(upstream);
    const slow = await Watcher.open(gateway, id);
    await slow.event(1);
    slow.pause();
    await write(upstream, gateway, id, { state: 'success' });
    slow.resume();
    await slow.closed();
    const [last, end] = slow.events.slice(-2);
    expect([versionIn(last!.data), end!.event]).toEqual([VERSIONS, 'end']);
  });
});

describe('SIGTERM', () => {
  it('closes streams with a retry and no end event, including unread ones, and exits 0', async () => {
    const upstream = await startUpstream();
    const gateway = await startGateway({ upstream, env: { DRAIN_DELAY: '500ms', ACTIVE_FRESH: '200ms' } });
    const [id, big] = [upstream.addJob({ state: 'active' }).id, startJob(upstream)];
    const watchers = await Promise.all(Array.from({ length: 20 }, () => Watcher.open(gateway, id)));
    const dead = await Watcher.open(gateway, big);
    await Promise.all([...watchers, dead].map((watcher) => watcher.event(1)));
    dead.pause();
    await write(upstream, gateway, big);
    gateway.signal('SIGTERM');
    await gateway.logged((line) => line.msg === 'draining');
    // Streams are accepted as long as other requests are.
    const late = await Watcher.open(gateway, id);
    await late.event(1);
    expect(await gateway.exited).toBe(0);
    for (const watcher of [...watchers, late]) {
      await watcher.closed();
      expect(watcher.events.map(({ event }) => event)).toEqual(['job']);
      expect(watcher.retryMs).toBeGreaterThanOrEqual(500);
      expect(watcher.retryMs).toBeLessThanOrEqual(2500);
    }
  });
});

describe('a reader that disconnects', () => {
  it('leaves no resources, at whatever time', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob({ state: 'active' });
    upstream.fault({ kind: 'slow', ms: 20 });
    const { hostname, port } = new URL(gateway.url);
    const head = `GET /contextcapture/jobs/events?ids=${id} HTTP/1.1\r\nHost: x\r\nAuthorization: ${gateway.bearer()}\r\n\r\n`;
    for (let round = 0; round < 50; round++) {
      const curtness = round % 3;
      const socket = connect(Number(port), hostname);
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.write(head);
      if (curtness === 1) await once(socket, 'data');
      if (curtness === 2) socket.resetAndDestroy();
      else socket.destroy();
    }
    await until('nobody watches', async () => (await metric(gateway, 'gateway_watchers')) === 0);
    const { id: other } = upstream.addJob({ state: 'active' });
    const watcher = await Watcher.open(gateway, other);
    await watcher.event(1);
    const before = upstream.callsFor(id).length;
    await upstream.arrived(upstream.count + 3);
    expect(upstream.callsFor(id)).toHaveLength(before);
    watcher.leave();
  });
});

describe('clients', () => {
  it('curl -N shows each event when it arrives, and ends with the stream', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob({ state: 'active' });
    const url = `${gateway.url}/contextcapture/jobs/events?ids=${id}`;
    const curl = spawn('curl', ['-sN', '-H', `Authorization: ${gateway.bearer()}`, url]);
    const exited = once(curl, 'exit');
    const lines: string[] = [];
    createInterface(curl.stdout).on('line', (line) => lines.push(line));
    const shown = (state: string) => () => lines.some((line) => line.includes(`"state":"${state}"`));
    await until('the first is shown', shown('active'));
    upstream.setState(id, 'success');
    await until('the change is shown', shown('success'));
    expect(await exited).toEqual([0, null]);
    expect(lines.filter((line) => !line.startsWith('data: {"job"'))).toEqual([
      'event: job',
      '',
      'event: job',
      '',
      'event: end',
      'id: end',
      'data: {}',
      '',
    ]);
  });

  it('the npm package eventsource reconnects when a gateway ends, and not after the end event', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob({ state: 'active' });
    const one = await startGateway({ upstream, env: { ACTIVE_FRESH: '200ms' } });
    const other = await startGateway({ upstream, callers: one.callers, env: { ACTIVE_FRESH: '200ms' } });
    const ingress = await Connections.start(one.url);
    atEnd(() => ingress.stop());
    const statuses: number[] = [];
    const source = new EventSource(`${ingress.url}/contextcapture/jobs/events?ids=${id}`, {
      fetch: async (input, init) => {
        const headers = { ...init.headers, authorization: one.bearer() };
        const answer = await fetch(input, { ...init, headers });
        statuses.push(answer.status);
        return answer;
      },
    });
    atEnd(async () => source.close());
    const told: string[] = [];
    for (const type of ['job', 'job-error', 'end']) {
      source.addEventListener(type, ({ data }) => {
        told.push(/"state":"(\w+)"/.exec(String(data))?.[1] ?? type);
      });
    }
    await until('the first is told', () => told.length === 1);
    ingress.port = Number(new URL(other.url).port);
    one.signal('SIGTERM');
    await until('it has come again', () => told.length === 2);
    upstream.setState(id, 'success');
    await until('it is closed', () => source.readyState === EventSource.CLOSED);
    expect([told, statuses]).toEqual([
      ['active', 'active', 'success', 'end'],
      [200, 200, 204],
    ]);
  });

  it('fetch reads the stream as it arrives', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob({ state: 'active' });
    const url = `${gateway.url}/contextcapture/jobs/events?ids=${id}`;
    const answer = await fetch(url, { headers: { authorization: gateway.bearer() } });
    let text = '';
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.includes('"active"')) upstream.setState(id, 'success');
    }
    expect(text.match(/^event: .*$/gm)).toEqual(['event: job', 'event: job', 'event: end']);
  });
});
