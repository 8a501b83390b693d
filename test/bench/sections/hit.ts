import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FakeUpstreamProcess } from '../../support/fake-upstream-process.ts';
import { tokenFrom } from '../../support/consumer.ts';
import { startBare } from '../contenders/bare.ts';
import type { Contender, Sample } from '../contenders/contender.ts';
import { startGateway } from '../contenders/gateway.ts';
import { startNginx } from '../contenders/nginx.ts';
import { startVarnish } from '../contenders/varnish.ts';
import { isInstalled } from '../lib/installed.ts';
import { type Options, say } from '../lib/options.ts';
import { cpuMs } from '../lib/pinned.ts';
import { type Resources, withResources } from '../lib/resources.ts';
import { median, spread } from '../lib/statistics.ts';
import type { Table } from '../lib/table.ts';
import { load } from '../lib/wrk.ts';

const CONNECTIONS = 64;
/** Node's own fields, which it adds to every answer. */
const ADDED = ['date', 'connection', 'keep-alive', 'transfer-encoding'];

/** One measurement of one contender. */
interface Round {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Processor time of a request, in microseconds. */
  readonly cpuUs: number;
  readonly failed: number;
}

/** What a read of a cached finished job costs, beside what else could send the same bytes. */
export function hit(options: Options): Promise<Table[]> {
  return withResources(async (resources) => {
    const upstream = await resources.upstream();
    const jobId = await upstream.addJob({ state: 'success' });
    const { contenders, authorization, path } = await start(resources, upstream, jobId);
    const rounds = new Map<Contender, Round[]>(contenders.map((contender) => [contender, []]));
    for (let round = 0; round < options.rounds; round++) {
      for (const contender of contenders) {
        const measured = await measure(contender, `${contender.url}${path}`, authorization, options.seconds);
        rounds.get(contender)?.push(measured);
        say(
          `hit, round ${round + 1}: ${contender.name} ${measured.perSecond.toFixed(0)}/s, p99 ${measured.p99Ms.toFixed(2)} ms`,
        );
      }
    }
    return [table(rounds)];
  });
}

async function start(resources: Resources, upstream: FakeUpstreamProcess, jobId: string) {
  const redis = await resources.redis();
  const gateway = resources.use(await startGateway(upstream, { REDIS_URL: redis.url }));
  const authorization = gateway.gateway.bearer();
  const path = `/contextcapture/jobs/${jobId}`;
  const folder = resources.folder();
  const samplePath = join(folder, 'sample.json');
  const token = `Bearer ${await tokenFrom(upstream)}`;
  writeFileSync(samplePath, JSON.stringify(await sampleOf(`${gateway.url}${path}`, path, authorization)));
  const proxy = (name: string) => ({
    folder: join(folder, name),
    upstream: upstream.url,
    authorization: token,
    freshSeconds: 3600,
  });
  const contenders: Contender[] = [
    gateway,
    resources.use(await startBare('bare node:http', 'bare-http.ts', samplePath)),
    resources.use(await startBare('bare node:http, Buffer', 'bare-http.ts', samplePath, 'buffer')),
    resources.use(await startBare('bare Fastify', 'bare-fastify.ts', samplePath)),
    resources.use(await startBare('Nest on Fastify', 'bare-nest.ts', samplePath)),
  ];
  if (isInstalled('nginx')) contenders.push(resources.use(await startNginx(proxy('nginx'))));
  if (isInstalled('varnishd')) contenders.push(resources.use(await startVarnish(proxy('varnish'))));
  return { contenders, authorization, path };
}

async function sampleOf(url: string, path: string, authorization: string): Promise<Sample> {
  // Twice: of the second the head is that of a hit.
  for (let read = 0; ; read++) {
    const answer = await fetch(url, { headers: { authorization } });
    const body = await answer.text();
    if (answer.status !== 200) throw new Error(`the gateway answers ${answer.status}: ${body}`);
    const headers = Object.fromEntries([...answer.headers].filter(([name]) => !ADDED.includes(name)));
    if (read === 1) return { path, headers, body };
  }
}

async function measure(
  { pid }: Contender,
  url: string,
  authorization: string,
  seconds: number,
): Promise<Round> {
  const all = { url, authorization, connections: CONNECTIONS };
  await load({ ...all, seconds: 1 });
  const before = cpuMs(pid);
  const loaded = await load({ ...all, seconds });
  return { ...loaded, cpuUs: (1000 * (cpuMs(pid) - before)) / loaded.requests };
}

function table(rounds: ReadonlyMap<Contender, readonly Round[]>): Table {
  const roundsOf = (wanted: string): readonly Round[] =>
    [...rounds].find(([{ name }]) => name === wanted)?.[1] ?? [];
  const rows = [...rounds].map(([{ name }, of]) => {
    const column = (pick: (round: Round) => number) => spread(of.map(pick));
    /** Round by round beside another's: the median of the ratios. */
    const beside = (other: string, ratio: (own: Round, others: Round) => number) => {
      const others = roundsOf(other);
      return others.length === 0
        ? undefined
        : median(of.map((round, index) => ratio(round, others[index] ?? round)));
    };
    return [
      name,
      column(({ perSecond }) => perSecond),
      beside('bare node:http', (own, bare) => own.perSecond / bare.perSecond),
      column(({ p50Ms }) => p50Ms),
      column(({ p99Ms }) => p99Ms),
      beside('bare node:http', (own, bare) => own.p99Ms / bare.p99Ms),
      column(({ cpuUs }) => cpuUs),
      beside('nginx', (own, nginx) => nginx.cpuUs / own.cpuUs),
      beside('Varnish', (own, varnish) => varnish.cpuUs / own.cpuUs),
      // Below 1 the load is what gives first, not the server.
      column(({ perSecond, cpuUs }) => (perSecond * cpuUs) / 1e6),
      of.reduce((sum, { failed }) => sum + failed, 0),
    ];
  });
  return {
    name: 'hit',
    columns: [
      'server',
      'reads/s',
      'of bare node:http',
      'p50, ms',
      'p99, ms',
      'p99, of bare node:http',
      'CPU a read, µs',
      'reads per CPU, of nginx',
      'of Varnish',
      'core busy',
      'failed',
    ],
    rows,
    plot: { column: 1, title: 'Reads of a cached finished job a second, one core' },
  };
}
