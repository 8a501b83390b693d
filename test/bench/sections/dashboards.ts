import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { tokenFrom } from '../../support/consumer.ts';
import { ageMs, Dashboards } from '../../support/dashboards.ts';
import { readJob, type Seen } from '../../support/reads.ts';
import type { Contender } from '../contenders/contender.ts';
import { startGateway } from '../contenders/gateway.ts';
import { startNginx } from '../contenders/nginx.ts';
import { startVarnish } from '../contenders/varnish.ts';
import { isInstalled } from '../lib/installed.ts';
import { type Options, say } from '../lib/options.ts';
import { type Resources, withResources } from '../lib/resources.ts';
import { mean, percentile, spread } from '../lib/statistics.ts';
import type { Table } from '../lib/table.ts';

const CLIENTS = 200;
const JOBS = 40;
const LIMITS = '40/10s';
/** How long a job is fresh, in seconds: twice as many calls as the quota has would keep all of them so. */
const FRESH_SECONDS = 5;
/** The mean age when all jobs are read in turn, as often as the quota allows. */
const FLOOR_MS = 5000;
/** Until every job has been read a first time and the quota is even, in milliseconds. */
const WARM_UP_MS = 16_000;
const MEASURED_MS = 16_000;
const NO_ANSWER: Seen = { status: 0, headers: {}, body: Buffer.alloc(0), tookMs: NaN };

interface Outcome {
  readonly reads: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly calls: number;
  readonly refused: number;
  readonly meanAge: number;
  readonly oldestS: number;
}

type Start = (resources: Resources, upstream: Upstream) => Promise<Contender & { bearer(): string }>;

interface Upstream {
  readonly upstream: Awaited<ReturnType<Resources['upstream']>>;
  readonly authorization: string;
}

/** Who polls running jobs under a quota that does not do for all of them: what it is answered, how soon, and how old that is. */
export async function dashboards(options: Options): Promise<Table[]> {
  const contenders = Object.entries(CONTENDERS).filter(([, { program }]) => !program || isInstalled(program));
  const outcomes = new Map(contenders.map(([name]) => [name, [] as Outcome[]]));
  for (let round = 0; round < options.rounds; round++) {
    for (const [name, { start }] of contenders) {
      const outcome = await measure(start, options.short);
      outcomes.get(name)?.push(outcome);
      say(`dashboards, round ${round + 1}: ${name} ${JSON.stringify(outcome)}`);
    }
  }
  return [table(outcomes)];
}

const proxied = (resources: Resources, { upstream, authorization }: Upstream) => ({
  folder: join(resources.folder(), 'proxy'),
  upstream: upstream.url,
  authorization,
  freshSeconds: FRESH_SECONDS,
});

const CONTENDERS: Readonly<Record<string, { readonly program?: string; readonly start: Start }>> = {
  gateway: {
    start: async (resources, { upstream }) => {
      const redis = await resources.redis();
      const started = await startGateway(upstream, { REDIS_URL: redis.url, UPSTREAM_LIMITS: LIMITS });
      return { ...started, bearer: () => started.gateway.bearer() };
    },
  },
  nginx: {
    program: 'nginx',
    start: async (resources, upstream) => ({
      ...(await startNginx(proxied(resources, upstream))),
      bearer: () => '',
    }),
  },
  Varnish: {
    program: 'varnishd',
    start: async (resources, upstream) => ({
      ...(await startVarnish(proxied(resources, upstream))),
      bearer: () => '',
    }),
  },
};

function measure(start: Start, short: boolean): Promise<Outcome> {
  return withResources(async (own) => {
    const upstream = await own.upstream(
      { FAKE_UPSTREAM_LIMITS: LIMITS },
      { latencyMs: [5, 25], stamped: true },
    );
    const jobIds = await Promise.all(
      Array.from({ length: JOBS }, () => upstream.addJob({ state: 'active' })),
    );
    const server = own.use(
      await start(own, { upstream, authorization: `Bearer ${await tokenFrom(upstream)}` }),
    );
    const clients = own.use(
      new Dashboards((jobId) => readJob(server, jobId).catch(() => NO_ANSWER), jobIds, CLIENTS),
    );
    await delay(short ? 1000 : WARM_UP_MS);
    const from = performance.timeOrigin + performance.now();
    const before = await upstream.recordedCalls();
    await delay(short ? 2000 : MEASURED_MS);
    const calls = (await upstream.recordedCalls()).slice(before.length);
    const samples = clients.samples.filter(({ at }) => at >= from);
    const good = samples.filter(({ status }) => status === 200);
    const times = good.map(({ tookMs }) => tookMs);
    const ages = good.map(ageMs);
    return {
      reads: samples.length,
      failed: samples.length - good.length,
      p50Ms: percentile(times, 50),
      p99Ms: percentile(times, 99),
      calls: calls.length,
      refused: calls.filter(({ status }) => status === 429).length,
      meanAge: mean(ages) / FLOOR_MS,
      oldestS: Math.max(...ages) / 1000,
    };
  });
}

function table(outcomes: ReadonlyMap<string, readonly Outcome[]>): Table {
  const rows = [...outcomes].map(([name, of]) => [
    name,
    ...(['reads', 'failed', 'p50Ms', 'p99Ms', 'calls', 'refused', 'meanAge', 'oldestS'] as const).map(
      (field) => spread(of.map((outcome) => outcome[field])),
    ),
  ]);
  return {
    name: 'dashboards',
    columns: [
      'server',
      'reads',
      'failed',
      'p50, ms',
      'p99, ms',
      'upstream calls',
      'of them 429',
      'mean age, of the floor',
      'oldest, s',
    ],
    rows,
    plot: { column: 7, title: 'Mean age of what 200 dashboards are shown, of the least possible' },
  };
}
