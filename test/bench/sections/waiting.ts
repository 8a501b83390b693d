import { setTimeout as delay } from 'node:timers/promises';
import { jobIds, metric, readJob } from '../../support/reads.ts';
import { until } from '../../support/until.ts';
import { startGateway } from '../contenders/gateway.ts';
import { type Options, say } from '../lib/options.ts';
import { cpuMs, residentBytes } from '../lib/pinned.ts';
import { withResources } from '../lib/resources.ts';
import { median, percentile, spread } from '../lib/statistics.ts';
import type { Table } from '../lib/table.ts';

const WAITING = [10, 1000, 10_000];
const KB = 1024;
const HITS = 300;
const LONGEST_ENTRY_MS = 120_000;
const ROOM_FOR_ALL = {
  PATIENCE: '1h',
  QUEUE_LIMIT: '20000',
  MAX_CONNECTIONS: '15000',
  UPSTREAM_LIMITS: '100000/1m',
};

interface Outcome {
  /** Processor time of taking its place in line, of each, in microseconds. */
  readonly enterUs: number;
  /** Processor time in a second in which nothing happens. */
  readonly idleMs: number;
  readonly kbEach: number;
  readonly hitP50Ms: number;
  readonly hitP99Ms: number;
}

/** What reads cost that wait behind a closed gate, and what the cached reads of others feel of it. */
export async function waiting(options: Options): Promise<Table[]> {
  const rows = [];
  for (const count of options.short ? [10] : WAITING) {
    const outcomes: Outcome[] = [];
    for (let round = 0; round < options.rounds; round++) outcomes.push(await measure(count));
    say(`waiting: ${count}: ${JSON.stringify(outcomes.at(-1))}`);
    const column = (field: keyof Outcome) => spread(outcomes.map((outcome) => outcome[field]));
    rows.push([
      count,
      column('enterUs'),
      column('idleMs'),
      column('kbEach'),
      column('hitP50Ms'),
      column('hitP99Ms'),
    ]);
  }
  return [
    {
      name: 'waiting',
      columns: [
        'reads waiting',
        'CPU to wait, µs each',
        'CPU meanwhile, ms a second',
        'memory, KB each',
        'p50 of hits, ms',
        'p99 of hits, ms',
      ],
      rows,
    },
  ];
}

function measure(count: number): Promise<Outcome> {
  return withResources(async (own) => {
    const upstream = await own.upstream({ FAKE_UPSTREAM_UNKNOWN_JOBS: 'make' });
    const { gateway, pid } = own.use(await startGateway(upstream, ROOM_FOR_ALL));
    const [hit = '', ...ids] = jobIds(count + 2);
    await readJob(gateway, hit);
    // The first to be sent closes the gate.
    await upstream.fault({ kind: 'too-many', retryAfter: '3000' });
    const leaving = new AbortController();
    own.use({ stop: async () => leaving.abort() });
    const [bytes, before] = [residentBytes(pid), cpuMs(pid)];
    for (const id of ids) readJob(gateway, id, { signal: leaving.signal }).catch(() => undefined);
    const depth = () => metric(gateway, 'gateway_queue_depth');
    await until('all reads wait', async () => (await depth()) >= count, LONGEST_ENTRY_MS);
    const [bytesWaiting, entered] = [residentBytes(pid), cpuMs(pid)];
    await delay(1000);
    const idleMs = cpuMs(pid) - entered;
    const times: number[] = [];
    for (let turn = 0; turn < HITS; turn++) times.push((await readJob(gateway, hit)).tookMs);
    return {
      enterUs: (1000 * (entered - before)) / ids.length,
      idleMs,
      kbEach: (bytesWaiting - bytes) / KB / ids.length,
      hitP50Ms: median(times),
      hitP99Ms: percentile(times, 99),
    };
  });
}
