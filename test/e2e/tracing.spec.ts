import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { Collector, type Span } from '../support/collector.ts';
import { testCaller } from '../support/gateway.ts';
import { freePort } from '../support/ports.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { startDouble, startGateway, startRedis } from '../support/rig.ts';
import { until } from '../support/until.ts';
import { Watcher } from '../support/watcher.ts';

const READ = 'GET /contextcapture/jobs/{id}';
const WAIT = 'wait for a slot';
const TOKEN = 'POST token';
const [SERVER, CLIENT, ERROR] = [2, 3, 2];

/** A read and its parts, by the ids that its log line has. */
class TraceOf {
  constructor(
    private readonly collector: Collector,
    readonly traceId: string,
  ) {}

  get spans(): Span[] {
    return this.collector.spans.filter(({ traceId }) => traceId === this.traceId);
  }

  get root(): Span {
    const [root] = this.roots;
    if (!root) throw new Error('the span of the read has not come');
    return root;
  }

  get roots(): Span[] {
    return this.spans.filter(({ kind }) => kind === SERVER);
  }

  get calls(): Span[] {
    return this.spans.filter(({ kind }) => kind === CLIENT);
  }

  get waits(): Span[] {
    return this.spans.filter(({ name }) => name === WAIT);
  }
}

const hex = (bytes: number): string => randomBytes(bytes).toString('hex');

async function traced(env: Readonly<Record<string, string>> = {}, port = 0) {
  const [collector, double] = [await Collector.start(port), await startDouble({ unknownJobs: 'make' })];
  const gateway = await startGateway({
    double,
    callers: [testCaller('tester'), testCaller('other')],
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...env },
  });
  /** Reads a job in a trace of its own, and waits for its spans. */
  const read = async (id: string, headers: Record<string, string> = {}) => {
    const traceId = hex(16);
    const seen = await readJob(gateway, id, {
      headers: { traceparent: `00-${traceId}-${hex(8)}-01`, ...headers },
    });
    const trace = new TraceOf(collector, traceId);
    await until('the spans have come', () => trace.roots.length > 0);
    return { seen, trace };
  };
  return { collector, double, gateway, read };
}

describe('a read in a trace', () => {
  it('is a span with its outcome; its wait and its call are its children, a token request stands alone', async () => {
    const { collector, double, gateway, read } = await traced({
      OTEL_RESOURCE_ATTRIBUTES: 'k8s.pod.name=one',
    });
    const { id } = double.addJob();
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
        'server.port': Number(new URL(double.url).port),
        'url.full': `${double.url}/contextcapture/jobs/${id}`,
        'gateway.correlation_id': 'mine',
      },
    });
    const [token] = await collector.named(TOKEN);
    expect(token).toMatchObject({
      kind: CLIENT,
      attributes: { 'http.response.status_code': 200, 'url.full': double.tokenUrl },
    });
    expect(token?.parentSpanId ?? '').toBe('');
    expect(token?.traceId).not.toBe(root.traceId);
    // It was waited for.
    expect(waits[0]).toMatchObject({
      parentSpanId: root.spanId,
      attributes: { 'gateway.outcome': 'found' },
      links: [{ traceId: token?.traceId, spanId: token?.spanId }],
    });
    expect(waits[0]!.endMs).toBeLessThanOrEqual(calls[0]!.startMs + 1);
    expect(calls[0]!.endMs).toBeLessThanOrEqual(root.endMs + 1);
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

  it('has every try in it: what went wrong with a call, and that there was no slot', async () => {
    const { double, read } = await traced({ PATIENCE: '500ms' });
    const [again = '', held = '', refused = ''] = jobIds(3);
    double.fault({ kind: 'status', status: 503 }, { times: 1 });
    const { trace } = await read(again);
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

    double.fault({ kind: 'reset' });
    const { trace: broken } = await read(held);
    expect(broken.root).toMatchObject({ status: ERROR, attributes: { 'http.response.status_code': 502 } });
    expect(broken.calls.map(({ attributes }) => attributes['error.type'])).toEqual([
      'connection',
      'connection',
    ]);
    double.clearFaults();

    double.fault({ kind: 'too-many', retryAfter: '30' }, { times: 1 });
    const { trace: full } = await read(refused);
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

  it('tells nothing of what is no job id, and nobody of whom it does not know', async () => {
    const { gateway, read } = await traced();
    const key = gateway.callers[0]!.key;
    const { trace } = await read(encodeURIComponent(key));
    expect(Object.keys(trace.root.attributes)).not.toContain('url.path');
    const { seen, trace: unknown } = await read(jobIds(1)[0]!, { authorization: `Bearer ${key}x` });
    expect(seen.status).toBe(401);
    expect(unknown.root.attributes).toMatchObject({ 'gateway.caller': '', 'gateway.outcome': 'error' });
  });

  it('names the read whose call answered it when it joined that', async () => {
    const { double, read } = await traced({ UPSTREAM_TIMEOUT: '1m' });
    const [id = ''] = jobIds(1);
    double.fault({ kind: 'hold' });
    const first = read(id);
    await double.arrived(1);
    const second = read(id);
    await delay(100);
    double.clearFaults();
    const [one, two] = await Promise.all([first, second]);
    expect(two.trace.spans).toHaveLength(1);
    expect(two.trace.root).toMatchObject({
      attributes: { 'gateway.outcome': 'collapsed' },
      links: [{ traceId: one.trace.traceId, spanId: one.trace.root.spanId }],
    });
  });

  it('has a trace of its own when the gateway polls for those who watch', async () => {
    const { collector, double, gateway } = await traced();
    const { id } = double.addJob();
    const watcher = await Watcher.open(gateway, id);
    await watcher.event(1);
    watcher.leave();
    const [poll] = await collector.named('poll job');
    const [call] = await collector.named(READ);
    expect(poll).toMatchObject({ attributes: { 'gateway.job.id': id }, status: 0 });
    expect(call).toMatchObject({ kind: CLIENT, traceId: poll?.traceId, parentSpanId: poll?.spanId });
  });
});

describe('trace context', () => {
  it('goes on from the caller, and to upstream', async () => {
    const { collector, double, gateway } = await traced();
    const [traceId, parent, id] = [hex(16), hex(8), jobIds(1)[0]!];
    const headers = {
      traceparent: `00-${traceId}-${parent}-01`,
      tracestate: 'congo=t61rcWkgMzE,rojo=00f067aa',
    };
    await readJob(gateway, id, { headers });
    const call = (await collector.named(READ, 2)).find(({ kind }) => kind === CLIENT)!;
    const read = (await collector.named(READ, 2)).find(({ kind }) => kind === SERVER)!;
    expect(read).toMatchObject({ traceId, parentSpanId: parent });
    expect(double.calls[0]?.headers).toMatchObject({
      traceparent: `00-${traceId}-${call.spanId}-01`,
      tracestate: headers.tracestate,
    });
  });

  it('of a caller that keeps no trace goes on as well, and nothing is told of it', async () => {
    const { collector, double, gateway, read } = await traced();
    const [traceId, id] = [hex(16), jobIds(1)[0]!];
    await readJob(gateway, id, { headers: { traceparent: `00-${traceId}-${hex(8)}-00` } });
    expect(double.calls[0]?.headers['traceparent']).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
    await read(jobIds(1)[0]!);
    expect(collector.spans.filter((span) => span.traceId === traceId)).toEqual([]);
  });

  it.each([
    'nonsense',
    `00-${'0'.repeat(32)}-${hex(8)}-01`,
    `ff-${hex(16)}-${hex(8)}-01`,
    `00-${hex(16)}-${hex(8)}`,
  ])('that cannot be understood is none: %s', async (traceparent) => {
    const { collector, double, gateway } = await traced();
    const seen = await readJob(gateway, jobIds(1)[0]!, { headers: { traceparent, tracestate: 'a=b' } });
    expect(seen.status).toBe(200);
    const root = (await collector.named(READ, 2)).find(({ kind }) => kind === SERVER)!;
    expect(root.parentSpanId ?? '').toBe('');
    expect(traceparent).not.toContain(root.traceId);
    expect(double.calls[0]?.headers['tracestate']).toBeUndefined();
  });
});

describe('without a collector in the settings', () => {
  it('nothing of OpenTelemetry is loaded, told, logged or sent', async () => {
    const [double, redis] = [await startDouble(), await startRedis()];
    const { id } = double.addJob();
    const preload = join(import.meta.dirname, '../support/tell-modules.mjs');
    const env = { NODE_OPTIONS: `--import ${preload}`, REDIS_URL: redis.url };
    const traceparent = `00-${hex(16)}-${hex(8)}-01`;
    const packages = async (more: Record<string, string>): Promise<string[]> => {
      const gateway = await startGateway({ double, env: { ...env, ...more } });
      await readJob(gateway, id, { headers: { traceparent } });
      const line = await gateway.logged(({ msg }) => msg === 'read');
      expect('traceId' in line).toBe('OTEL_EXPORTER_OTLP_ENDPOINT' in more);
      await gateway.stop();
      return [...new Set([...gateway.output.matchAll(/^loaded (.*)$/gm)].map(([, pair = '']) => pair))];
    };
    const without = await packages({});
    expect(without).toEqual(expect.arrayContaining(['pino by the gateway', 'ioredis by the gateway']));
    // prom-client requires the API, which does nothing without an SDK, whatever it is used for.
    expect(without.filter((pair) => pair.startsWith('@opentelemetry/'))).toEqual([
      '@opentelemetry/api by prom-client',
    ]);
    expect(double.calls[0]?.headers['traceparent']).toBeUndefined();
    // The probe sees it when it is there.
    const collector = await Collector.start();
    await redis.kill();
    expect(await packages({ REDIS_URL: '', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })).toContain(
      '@opentelemetry/sdk-trace by the gateway',
    );
  });
});

describe('a collector', () => {
  const soon = { OTEL_EXPORTER_OTLP_TIMEOUT: '500' };
  const lines = (log: readonly { readonly msg?: string }[]): string[] =>
    log.flatMap(({ msg }) => (/traces/.test(msg ?? '') ? [msg!] : []));

  it('that is away harms no read; it is said once, and once when it is back', async () => {
    const port = await freePort();
    const { collector, gateway, read } = await traced(soon, port);
    await read(jobIds(1)[0]!);
    await collector.stop();
    for (const id of jobIds(20)) {
      expect((await readJob(gateway, id)).status).toBe(200);
      await delay(200);
    }
    await gateway.logged(({ msg }) => msg === 'traces cannot be handed over');
    const back = await Collector.start(port);
    await readJob(gateway, jobIds(1)[0]!);
    await back.named(READ);
    await gateway.logged(({ msg }) => msg === 'traces are handed over again');
    expect(lines(gateway.log)).toEqual(['traces cannot be handed over', 'traces are handed over again']);
    expect(gateway.log.find(({ msg }) => msg === 'traces cannot be handed over')).toMatchObject({
      level: 40,
      reason: 'ECONNREFUSED',
    });
  });

  it.each([400, 503])('that refuses with %d harms no read, and is told of once', async (manner) => {
    const { collector, gateway } = await traced(soon);
    collector.manner = manner;
    for (const id of jobIds(10)) {
      expect((await readJob(gateway, id)).status).toBe(200);
      await delay(200);
    }
    await until('it was tried twice', () => collector.requests >= 2);
    await gateway.logged(({ msg }) => msg === 'traces cannot be handed over');
    expect(lines(gateway.log)).toHaveLength(1);
  });

  it('that does not answer is asked one batch at a time, fills no memory and holds no end up', async () => {
    const { collector, double, gateway } = await traced();
    collector.manner = 'hangs';
    const { id } = double.addJob({ state: 'success' });
    const times: number[] = [];
    for (let round = 0; round < 100; round++) {
      const seen = await Promise.all(Array.from({ length: 100 }, () => readJob(gateway, id)));
      expect(seen.every(({ status }) => status === 200)).toBe(true);
      times.push(...seen.map(({ tookMs }) => tookMs));
    }
    expect(collector.waiting).toBe(1);
    expect(collector.requests).toBe(1);
    const since = performance.now();
    expect(await gateway.stop()).toBe(0);
    expect(performance.now() - since).toBeLessThan(3000);
    // What waited for its turn, a batch that was on its way and no more: the others of 10,000 spans are gone.
    expect(collector.requests).toBeLessThanOrEqual(5);
  });

  it('gets what is left when the gateway ends', async () => {
    const { collector, gateway } = await traced();
    await readJob(gateway, jobIds(1)[0]!);
    expect(await gateway.stop()).toBe(0);
    expect(collector.spans.filter(({ name }) => name === READ)).toHaveLength(2);
  });
});
