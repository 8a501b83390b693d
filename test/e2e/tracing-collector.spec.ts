import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { Collector } from '../support/collector.ts';
import { freePort } from '../support/ports.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { hex, READ, traced } from '../support/traced.ts';
import { until } from '../support/until.ts';

describe('without a collector in the settings', () => {
  it('OpenTelemetry is not loaded, and nothing is sent', async () => {
    const [upstream, redis] = [await startUpstream(), await startRedis()];
    const { id } = upstream.addJob();
    const preload = join(import.meta.dirname, '../support/report-modules.mjs');
    const env = { NODE_OPTIONS: `--import ${preload}`, REDIS_URL: redis.url };
    const traceparent = `00-${hex(16)}-${hex(8)}-01`;
    const packages = async (more: Record<string, string>): Promise<string[]> => {
      const gateway = await startGateway({ upstream, env: { ...env, ...more } });
      await readJob(gateway, id, { headers: { traceparent } });
      const line = await gateway.logged(({ msg }) => msg === 'read');
      expect('traceId' in line).toBe('OTEL_EXPORTER_OTLP_ENDPOINT' in more);
      await gateway.stop();
      return [...new Set([...gateway.output.matchAll(/^loaded (.*)$/gm)].map(([, pair = '']) => pair))];
    };
    const without = await packages({});
    expect(without).toEqual(expect.arrayContaining(['pino by the gateway', 'ioredis by the gateway']));
    // prom-client loads the API, which does nothing without an SDK.
    expect(without.filter((pair) => pair.startsWith('@opentelemetry/'))).toEqual([
      '@opentelemetry/api by prom-client',
    ]);
    expect(upstream.calls[0]?.headers['traceparent']).toBeUndefined();
    // The probe detects the SDK when it is loaded.
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
    log.flatMap(({ msg }) => (/trace export/.test(msg ?? '') ? [msg!] : []));

  it('that is unavailable affects no read, and is logged once, as is its return', async () => {
    const port = await freePort();
    const { collector, gateway } = await traced(soon, port);
    await readJob(gateway, jobIds(1)[0]!);
    await collector.named(READ);
    await collector.stop();
    // Long enough for several batches.
    for (const id of jobIds(20)) {
      expect((await readJob(gateway, id)).status).toBe(200);
      await delay(150);
    }
    await gateway.logged(({ msg }) => msg === 'trace export failed');
    const back = await Collector.start(port);
    await readJob(gateway, jobIds(1)[0]!);
    await back.named(READ);
    await gateway.logged(({ msg }) => msg === 'trace export restored');
    expect(lines(gateway.log)).toEqual(['trace export failed', 'trace export restored']);
    expect(gateway.log.find(({ msg }) => msg === 'trace export failed')).toMatchObject({
      level: 40,
      reason: 'ECONNREFUSED',
    });
  });

  it.each([400, 503])('that returns %d affects no read, and is logged once', async (manner) => {
    const { collector, gateway } = await traced(soon);
    collector.behaviour = manner;
    await until('it was tried twice', async () => {
      expect((await readJob(gateway, jobIds(1)[0]!)).status).toBe(200);
      return collector.requests >= 2;
    });
    await gateway.logged(({ msg }) => msg === 'trace export failed');
    expect(lines(gateway.log)).toHaveLength(1);
  });

  it('that does not answer gets one batch at a time, bounded in memory, and does not delay the end', async () => {
    const { collector, upstream, gateway } = await traced({ OTEL_EXPORTER_OTLP_TIMEOUT: '600000' });
    collector.behaviour = 'hangs';
    const { id } = upstream.addJob({ state: 'success' });
    for (let round = 0; round < 100; round++) {
      const seen = await Promise.all(Array.from({ length: 100 }, () => readJob(gateway, id)));
      expect(seen.every(({ status }) => status === 200)).toBe(true);
    }
    expect(collector.waiting).toBe(1);
    expect(collector.requests).toBe(1);
    // The collector would block it for the whole test.
    expect(await gateway.stop()).toBe(0);
    // The queue and one batch in transit; the others of 10,000 spans were dropped.
    expect(collector.requests).toBeLessThanOrEqual(5);
  });

  it('gets the remaining spans when the gateway ends', async () => {
    const { collector, gateway } = await traced();
    await readJob(gateway, jobIds(1)[0]!);
    expect(await gateway.stop()).toBe(0);
    expect(collector.spans.filter(({ name }) => name === READ)).toHaveLength(2);
  });
});
