import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { Collector, type Span } from '../support/collector.ts';
import { Gateway } from '../support/gateway.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { CLIENT, ERROR, hex, READ, SERVER, TOKEN, traced, TraceOf } from '../support/traced.ts';
import { until } from '../support/until.ts';
import { Watcher } from '../support/watcher.ts';

/** A fake upstream, a collector and a gateway, shared by tests with separate jobs and traces. */
const rig = {} as Awaited<ReturnType<typeof traced>>;

beforeAll(async () => {
  rig.upstream = await FakeUpstream.start({ unknownJobs: 'make' });
  rig.collector = await Collector.open();
  rig.gateway = await Gateway.start({
    upstream: rig.upstream,
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: rig.collector.url,
      OTEL_RESOURCE_ATTRIBUTES: 'k8s.pod.name=one',
      UPSTREAM_TIMEOUT: '2m',
    },
  });
});
beforeEach(() => {
  rig.upstream.clear();
  rig.upstream.clearFaults();
});
afterAll(async () => {
  await rig.gateway.stop();
  await rig.collector.stop();
  await rig.upstream.stop();
});

/** Reads a job in a new trace, and waits for its spans. */
async function read(id: string, headers: Record<string, string> = {}, { gateway, collector } = rig) {
  const traceId = hex(16);
  const seen = await readJob(gateway, id, {
    headers: { traceparent: `00-${traceId}-${hex(8)}-01`, ...headers },
  });
  const trace = new TraceOf(collector, traceId);
  await until('the spans have come', () => trace.roots.length > 0);
  return { seen, trace };
}

/** The span of a job's read in any trace. */
async function rootOf(jobId: string): Promise<Span> {
  const isRoot = ({ kind, attributes }: Span): boolean =>
    kind === SERVER && attributes['gateway.job.id'] === jobId;
  await until('the span has come', () => rig.collector.spans.some(isRoot));
  return rig.collector.spans.find(isRoot)!;
}

describe('a traced read', () => {
  it('is a span with its outcome; its wait and call are child spans, a token request is a trace of its own', async () => {
    const { collector, upstream, gateway } = rig;
    const { id } = upstream.addJob();
    const { trace } = await read(id, { 'x-correlation-id': 'mine' });
    const { root, calls, waits } = trace;
    expect(trace.spans).toHaveLength(3);
    expect(root.name).toBe(READ);
    expect(root.attributes).toEqual({
      'http.request.method': 'GET',
      'http.route': '/contextcapture/jobs/{id}',
      'http.response.status_code': 200,
      'url.path': `/contextcapture/jobs/${id}`,
      'gateway.outcome': 'upstream',
      'gateway.caller': 'tester',
      'gateway.correlation_id': 'mine',
      'gateway.job.id': id,
    });
    expect(calls[0]).toMatchObject({
      name: READ,
      parentSpanId: root.spanId,
      status: 0,
      attributes: {
        'http.request.method': 'GET',
        'http.response.status_code': 200,
        'server.address': '127.0.0.1',
        'server.port': Number(new URL(upstream.url).port),
        'url.full': `${upstream.url}/contextcapture/jobs/${id}`,
        'gateway.correlation_id': 'mine',
      },
    });
    const [token] = await collector.named(TOKEN);
    expect(token).toMatchObject({
      kind: CLIENT,
      attributes: { 'http.response.status_code': 200, 'url.full': upstream.tokenUrl },
    });
    expect(token?.parentSpanId ?? '').toBe('');
    expect(token?.traceId).not.toBe(root.traceId);
    // It was waited for.
    expect(waits[0]).toMatchObject({
      parentSpanId: root.spanId,
      attributes: { 'gateway.outcome': 'found' },
      links: [{ traceId: token?.traceId, spanId: token?.spanId }],
    });
    // Spans are exported in the order of their ends.
    expect(trace.spans).toEqual([waits[0], calls[0], root]);
    expect(await gateway.logged(({ msg }) => msg === 'read')).toMatchObject({
      traceId: root.traceId,
      spanId: root.spanId,
    });
    expect(collector.resource).toMatchObject({
      'service.name': 'itwin-jobs-gateway',
      'k8s.pod.name': 'one',
    });

    const hit = await read(id);
    expect(hit.trace.spans).toHaveLength(1);
    expect(hit.trace.root.attributes['gateway.outcome']).toBe('memory');
  });

  it('contains every attempt: failed calls, and waits without a slot', async () => {
    const own = await traced({ PATIENCE: '60s' });
    const { upstream } = own;
    const [again = '', held = '', refused = ''] = jobIds(3);
    upstream.fault({ kind: 'status', status: 503 }, { times: 1 });
    const { trace } = await read(again, {}, own);
    const statuses = trace.calls.map(({ attributes, status }) => [
      attributes['http.response.status_code'],
      attributes['error.type'],
      status,
    ]);
    expect(statuses).toEqual([
      [503, '503', ERROR],
      [200, undefined, 0],
    ]);
    expect(trace.waits).toHaveLength(2);

    upstream.fault({ kind: 'reset' });
    const { trace: broken } = await read(held, {}, own);
    expect(broken.root).toMatchObject({ status: ERROR, attributes: { 'http.response.status_code': 502 } });
    expect(broken.calls.map(({ attributes }) => attributes['error.type'])).toEqual([
      'connection',
      'connection',
    ]);
    upstream.clearFaults();

    upstream.fault({ kind: 'too-many', retryAfter: '600' }, { times: 1 });
    const { trace: full } = await read(refused, {}, own);
    expect(full.root).toMatchObject({
      status: 0,
      attributes: { 'http.response.status_code': 429, 'gateway.outcome': 'refused' },
    });
    expect(full.calls[0]?.attributes['error.type']).toBe('429');
    expect(full.waits.map(({ attributes }) => attributes['gateway.outcome']).sort()).toEqual([
      'found',
      'none',
    ]);
  });

  it('of an unknown job is not an error, but has an outcome of its own', async () => {
    const own = await traced();
    const { collector, upstream, gateway } = own;
    upstream.set({ unknownJobs: 'not-found' });
    const [id = ''] = jobIds(1);
    const { trace } = await read(id, {}, own);
    expect(trace.root).toMatchObject({ status: 0, attributes: { 'gateway.outcome': 'not-found' } });
    // The job is cached as unknown.
    const watcher = await Watcher.open(gateway, id);
    await watcher.event(1);
    watcher.leave();
    const [poll] = await collector.named('poll job');
    expect(poll).toMatchObject({ status: 0, attributes: { 'gateway.outcome': 'not-found' } });
  });

  it('contains no invalid job id and no unknown caller', async () => {
    const { gateway } = rig;
    const key = gateway.callers[0]!.key;
    const { trace } = await read(encodeURIComponent(key));
    expect(Object.keys(trace.root.attributes)).not.toContain('url.path');
    const { seen, trace: unknown } = await read(jobIds(1)[0]!, { authorization: `Bearer ${key}x` });
    expect(seen.status).toBe(401);
    expect(unknown.root.attributes).toMatchObject({ 'gateway.caller': '', 'gateway.outcome': 'error' });
  });

  it('links to the read whose call it joined', async () => {
    const { upstream, gateway } = rig;
    const [id = ''] = jobIds(1);
    upstream.fault({ kind: 'hold' });
    const first = read(id);
    await upstream.arrived(1);
    const second = read(id);
    // After an answer to a later request the second read is in progress.
    for (let later = 0; later < 3; later++) await fetch(`${gateway.url}/health/live`);
    upstream.clearFaults();
    const [one, two] = await Promise.all([first, second]);
    expect(two.trace.spans).toHaveLength(1);
    expect(two.trace.root).toMatchObject({
      attributes: { 'gateway.outcome': 'collapsed' },
      links: [{ traceId: one.trace.traceId, spanId: one.trace.root.spanId }],
    });
  });

  it('has a trace of its own when it is a poll', async () => {
    const { collector, upstream, gateway } = rig;
    const { id } = upstream.addJob();
    const watcher = await Watcher.open(gateway, id);
    await watcher.event(1);
    watcher.leave();
    const [poll] = await collector.named('poll job');
    const call = collector.spans.find(({ traceId, kind }) => traceId === poll?.traceId && kind === CLIENT);
    expect(poll).toMatchObject({ attributes: { 'gateway.job.id': id }, status: 0 });
    expect(call).toMatchObject({ kind: CLIENT, traceId: poll?.traceId, parentSpanId: poll?.spanId });
  });
});

describe('trace context', () => {
  it('is continued from the caller, and propagated upstream', async () => {
    const { upstream } = rig;
    const [traceId, parent, id] = [hex(16), hex(8), jobIds(1)[0]!];
    const headers = {
      traceparent: `00-${traceId}-${parent}-01`,
      tracestate: 'congo=t61rcWkgMzE,rojo=00f067aa',
    };
    await readJob(rig.gateway, id, { headers });
    expect(await rootOf(id)).toMatchObject({ traceId, parentSpanId: parent });
    const [call] = new TraceOf(rig.collector, traceId).calls;
    expect(upstream.calls[0]?.headers).toMatchObject({
      traceparent: `00-${traceId}-${call!.spanId}-01`,
      tracestate: headers.tracestate,
    });
  });

  it('without the sampled flag is propagated, and not exported', async () => {
    const { collector, upstream, gateway } = rig;
    const [traceId, id] = [hex(16), jobIds(1)[0]!];
    await readJob(gateway, id, { headers: { traceparent: `00-${traceId}-${hex(8)}-00` } });
    expect(upstream.calls[0]?.headers['traceparent']).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
    await read(jobIds(1)[0]!);
    expect(collector.spans.filter((span) => span.traceId === traceId)).toEqual([]);
  });

  it.each([
    'nonsense',
    `00-${'0'.repeat(32)}-${hex(8)}-01`,
    `ff-${hex(16)}-${hex(8)}-01`,
    `00-${hex(16)}-${hex(8)}`,
  ])('that is invalid is ignored: %s', async (traceparent) => {
    const [id = ''] = jobIds(1);
    const seen = await readJob(rig.gateway, id, { headers: { traceparent, tracestate: 'a=b' } });
    expect(seen.status).toBe(200);
    const root = await rootOf(id);
    expect(root.parentSpanId ?? '').toBe('');
    expect(traceparent).not.toContain(root.traceId);
    expect(rig.upstream.calls[0]?.headers['tracestate']).toBeUndefined();
  });
});
