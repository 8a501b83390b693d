import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { jobIds, readJob } from '../support/reads.ts';
import { shareRig } from '../support/shared-rig.ts';
import { type ServerEvent, Watcher, stateIn } from '../support/watcher.ts';

const rig = shareRig({}, () => ({ env: { ACTIVE_FRESH: '200ms', NEGATIVE_TTL: '200ms' } }));

/** Opens a stream of jobs in these states. */
async function watch(...states: string[]) {
  const ids = states.map((state) => rig.upstream.addJob({ state }).id);
  const watcher = await Watcher.open(rig.gateway, ids);
  return { watcher, ids, id: ids[0]! };
}

/** Waits for a number of polls of every job. */
async function polled(times: number): Promise<void> {
  await rig.upstream.arrived(rig.upstream.count + times);
}

const idIn = ({ data }: ServerEvent): string => {
  const { job, id } = JSON.parse(data) as { job?: { id: string }; id?: string };
  return job?.id ?? id ?? '';
};
const errorIn = ({ data }: ServerEvent) =>
  (JSON.parse(data) as { error: { code: string; message: string } }).error;
const kinds = ({ events }: Watcher): string[] => events.map(({ event }) => event);

describe('a stream of events', () => {
  it('is unbuffered, and reports cached jobs at once and the others as soon as they are read', async () => {
    const { upstream, gateway } = rig;
    const [known, slow] = [upstream.addJob({ state: 'active' }).id, upstream.addJob({ state: 'active' }).id];
    await readJob(gateway, known);
    upstream.fault({ kind: 'hold' });
    const watcher = await Watcher.open(gateway, [slow, known], { headers: { 'x-correlation-id': 'mine' } });
    expect(watcher.status).toBe(200);
    expect(watcher.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
      'x-correlation-id': 'mine',
    });
    expect(idIn(await watcher.event(1))).toBe(known);
    upstream.clearFaults();
    expect(idIn(await watcher.event(2))).toBe(slow);
    watcher.leave();
  });

  it('reports each change once, then the end, and closes', async () => {
    const { watcher, id } = await watch('unsubmitted');
    const states = ['unsubmitted', 'active', 'Paused-for-a-Reason', 'active', 'success'];
    for (const [index, state] of states.entries()) {
      rig.upstream.setState(id, state);
      expect(await watcher.state(index + 1)).toBe(state);
      if (state !== 'success') await polled(3);
    }
    await watcher.closed();
    expect(kinds(watcher)).toEqual([...states.map(() => 'job'), 'end']);
    expect(watcher.events.map(({ id }) => id)).toEqual([...states.map(() => undefined), 'end']);
    expect(watcher.retryMs).toBeUndefined();
  });

  it('ends once every job has finished, in any order', async () => {
    const { watcher, ids } = await watch('active', 'success', 'active');
    await watcher.event(3);
    rig.upstream.setState(ids[2]!, 'Cancelled');
    expect(idIn(await watcher.event(4))).toBe(ids[2]);
    await polled(2);
    expect(watcher.isClosed).toBe(false);
    rig.upstream.setState(ids[0]!, 'failed');
    await watcher.closed();
    expect(watcher.events.map(stateIn).slice(3)).toEqual(['Cancelled', 'failed', '']);
    expect(kinds(watcher).at(-1)).toBe('end');
  });

  it.each([
    [
      'escapes, quotes and backslashes',
      String.raw`{"job" : { "id":"$id", "state":"success", "name":"a\"b \\\\\" c\\" , "x": "\u0041\n\/ }" } }`,
    ],
    [
      'unicode, separators and control characters',
      '{"job":{"id":"$id","state":"success","name":"é 日本 🏗\u2028\u2029 \u007f", "ü" : "ö  o"}}',
    ],
    [
      'nulls and numbers as upstream writes them',
      '{ "job" : { "id":"$id", "state":"success", "a":null, "cost" : 3.50, "b": 1e+2, "c": -0.0, "d": 123456789012345678901 } }',
    ],
    [
      'every line end that there is',
      '\r\n{\r\n\t"job": {\r"id": "$id", "state": "success",\n\n"list": [ 1 ,\r\n 2 ], "empty": { }\r\n}\n}\r\n\n',
    ],
    [
      'what looks like an event stream',
      '{"job":{"id":"$id","state":"success",\n"data: x":"id: 1\\n\\n event: end"\n}}',
    ],
  ])('has the whole body on one line, byte for byte: %s', async (_, template) => {
    const { id } = rig.upstream.addJob({ body: template });
    const body = rig.upstream.bodyOf(id).toString();
    const watcher = await Watcher.open(rig.gateway, id);
    const { event, data } = await watcher.event(1);
    await watcher.closed();
    expect(event).toBe('job');
    expect(JSON.parse(data)).toEqual(JSON.parse(body));
    // Alternating between outside and inside of strings.
    const parts = body.split(/("(?:[^"\\]|\\.)*")/s);
    const expected = parts.map((part, index) => (index % 2 === 0 ? part.replace(/\s/g, '') : part)).join('');
    expect(data).toBe(expected);
  });

  it("has upstream's bytes without a byte order mark", async () => {
    const { watcher, id } = await watch('success');
    const compact = (text: string): string => text.replace(/\n */g, '').replaceAll('": ', '":');
    expect((await watcher.event(1)).data).toBe(compact(String(rig.upstream.bodyOf(id))));
    const marked = rig.upstream.addJob({ body: '\ufeff{"job":{"id":"$id","state":"success"}}' }).id;
    expect((await (await Watcher.open(rig.gateway, marked)).event(1)).data).toBe(
      `{"job":{"id":"${marked}","state":"success"}}`,
    );
  });

  it('reports a job that is deleted or unknown, which ends its part', async () => {
    const { upstream } = rig;
    const [unknown = ''] = jobIds(1);
    const { id } = upstream.addJob({ state: 'active' });
    const watcher = await Watcher.open(rig.gateway, [unknown, id]);
    await watcher.event(2);
    const [told] = watcher.events.filter(({ event }) => event === 'job-error');
    expect(JSON.parse(told!.data)).toEqual({
      error: { code: 'JobNotFound', message: 'Requested job is not available.' },
      id: unknown,
    });
    upstream.fault({ kind: 'status', status: 404 }, { jobId: id });
    await watcher.closed();
    expect(kinds(watcher).slice(2)).toEqual(['job-error', 'end']);
    expect([idIn(watcher.events[2]!), errorIn(watcher.events[2]!).code]).toEqual([id, 'JobNotFound']);
  });

  it('reports once that a job cannot be read, and its state as soon as it can', async () => {
    const { upstream } = rig;
    const { id } = upstream.addJob({ state: 'active' });
    upstream.fault({ kind: 'status', status: 500 }, { jobId: id });
    const watcher = await Watcher.open(rig.gateway, id);
    expect(errorIn(await watcher.event(1)).code).toBe('UpstreamError');
    expect(idIn(watcher.events[0]!)).toBe(id);
    await polled(3);
    upstream.clearFaults();
    expect(await watcher.state(2)).toBe('active');
    expect(kinds(watcher)).toEqual(['job-error', 'job']);
    watcher.leave();
  });

  it('reports no temporary failure of a job that was seen, but a 403', async () => {
    const { upstream } = rig;
    const { watcher, id } = await watch('active');
    await watcher.event(1);
    upstream.fault({ kind: 'status', status: 500 }, { jobId: id });
    await polled(3);
    upstream.clearFaults();
    upstream.fault({ kind: 'status', status: 403 }, { jobId: id });
    expect(errorIn(await watcher.event(2)).code).toBe('InsufficientPermissions');
    await polled(3);
    upstream.clearFaults();
    expect(await watcher.state(3)).toBe('active');
    expect(kinds(watcher)).toEqual(['job', 'job-error', 'job']);
    watcher.leave();
  });

  it('reports what other reads bring while its own poll hangs', async () => {
    const { upstream, gateway } = rig;
    const { watcher, id } = await watch('active');
    await watcher.event(1);
    upstream.fault({ kind: 'hold' }, { jobId: id, times: 1 });
    await polled(1);
    upstream.setState(id, 'success');
    await readJob(gateway, id, { headers: { 'cache-control': 'no-cache' } });
    await watcher.closed();
    upstream.clearFaults();
    expect(watcher.events.map(stateIn)).toEqual(['active', 'success', '']);
  });

  it('is not reopened after the end event, and starts over after any other id', async () => {
    const { watcher, id } = await watch('success');
    await watcher.closed();
    const again = (lastEventId: string) =>
      Watcher.open(rig.gateway, id, { headers: { 'last-event-id': lastEventId } });
    const ended = await again(watcher.events.at(-1)!.id!);
    await ended.closed();
    expect([ended.status, ended.text]).toEqual([204, '']);
    for (const other of ['', 'END', '7', randomUUID()]) {
      const over = await again(other);
      await over.closed();
      expect(kinds(over)).toEqual(['job', 'end']);
    }
  });

  it('shares one poll of a job among all streams, and stops polling without streams', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob({ state: 'active' });
    const watchers = await Promise.all(Array.from({ length: 20 }, () => Watcher.open(gateway, id)));
    await Promise.all(watchers.map((watcher) => watcher.event(1)));
    const [since, count] = [performance.now(), upstream.count];
    await polled(5);
    // 200 ms each, plus the duration of a call.
    expect(performance.now() - since).toBeGreaterThan(800);
    expect(upstream.count - count).toBeLessThanOrEqual(6);
    for (const watcher of watchers) watcher.leave();
    const { watcher: other } = await watch('active');
    await other.event(1);
    await polled(3);
    const before = upstream.callsFor(id).length;
    await polled(5);
    expect(upstream.callsFor(id)).toHaveLength(before);
    other.leave();
  });
});
