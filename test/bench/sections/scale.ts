import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { FakeUpstreamProcess } from '../../support/fake-upstream-process.ts';
import { Redis } from 'ioredis';
import { jobIds, readJob } from '../../support/reads.ts';
import type { RedisServer } from '../../support/redis.ts';
import { until } from '../../support/until.ts';
import { startGateway } from '../contenders/gateway.ts';
import { type Options, say } from '../lib/options.ts';
import { MEASURED, OTHERS, residentBytes } from '../lib/pinned.ts';
import { withResources } from '../lib/resources.ts';
import { mean, spread } from '../lib/statistics.ts';
import type { Table } from '../lib/table.ts';
import { load, type Loaded } from '../lib/wrk.ts';

const REPLICAS = [1, 2, 4];
const CACHED = [0, 10_000, 100_000];
const MB = 2 ** 20;
/** One replica each, as far as there are any: all but the one of the load. */
const CORES = Array.from({ length: availableParallelism() }, (_, core) => core).filter(
  (core) => core !== OTHERS,
);
/** All share one limit that is never met. */
const NO_LIMIT = { UPSTREAM_LIMITS: '1000000/1s', UPSTREAM_CONCURRENCY: '100', QUEUE_LIMIT: '10000' };

interface Outcome {
  readonly startS: number;
  readonly perSecond: number;
  readonly p99Ms: number;
  readonly failed: number;
  /** Of each replica, after the load. */
  readonly residentMb: number;
}

/** Several replicas, and more or fewer finished jobs that are read at random: in Redis all of them, in memory as many as fit. */
export function scale(options: Options): Promise<Table[]> {
  return withResources(async (resources) => {
    const upstream = await resources.upstream({ FAKE_UPSTREAM_UNKNOWN_JOBS: 'make' });
    const redis = await resources.redis();
    const sizes = options.short ? [0, 100] : CACHED;
    const ids = jobIds(Math.max(1, ...sizes));
    await fill(upstream, redis, ids);
    const rows = [];
    for (const cached of sizes) {
      const paths = join(resources.folder(), 'paths');
      writeFileSync(
        paths,
        ids
          .slice(0, Math.max(1, cached))
          .map((id) => `/contextcapture/jobs/${id}`)
          .join('\n'),
      );
      for (const replicas of options.short ? [1] : REPLICAS) {
        const outcomes: Outcome[] = [];
        for (let round = 0; round < options.rounds; round++) {
          outcomes.push(await measure(upstream, redis, replicas, paths, options.seconds));
        }
        const column = (field: keyof Outcome) => spread(outcomes.map((outcome) => outcome[field]));
        rows.push([
          replicas,
          cached,
          column('startS'),
          column('perSecond'),
          column('p99Ms'),
          column('failed'),
          column('residentMb'),
        ]);
        say(`scale: ${replicas} replicas, ${cached} jobs: ${JSON.stringify(outcomes.at(-1))}`);
      }
    }
    return [
      {
        name: 'scale',
        columns: [
          'replicas',
          'cached jobs',
          'start to ready, s',
          'reads/s, all',
          'p99, ms',
          'failed',
          'RSS of each, MB',
        ],
        rows,
      },
    ];
  });
}

/** Reads one job, and puts what Redis then holds of it under the ids of all others too. */
async function fill(
  upstream: FakeUpstreamProcess,
  redis: RedisServer,
  ids: readonly string[],
): Promise<void> {
  const [first = ''] = ids;
  await withResources(async (own) => {
    const { gateway } = own.use(await startGateway(upstream, { ...NO_LIMIT, REDIS_URL: redis.url }));
    await readJob(gateway, first);
  });
  const client = new Redis(redis.url);
  const [key = ''] = await client.keys(`*:job:${first}`);
  const value = await client.getBuffer(key);
  if (!value) throw new Error('Redis holds no copy of the job');
  const leftMs = await client.pttl(key);
  const pipeline = client.pipeline();
  for (const id of ids) pipeline.set(key.replace(first, id), value, 'PX', leftMs);
  await pipeline.exec();
  client.disconnect();
}

async function measure(
  upstream: FakeUpstreamProcess,
  redis: RedisServer,
  replicas: number,
  paths: string,
  seconds: number,
): Promise<Outcome> {
  return withResources(async (own) => {
    const started: Awaited<ReturnType<typeof startGateway>>[] = [];
    const startS: number[] = [];
    for (let index = 0; index < replicas; index++) {
      const since = performance.now();
      const core = CORES[index % CORES.length] ?? MEASURED;
      const env = { ...NO_LIMIT, REDIS_URL: redis.url, REPLICAS: String(replicas) };
      const gateway = await startGateway(upstream, env, { core });
      started.push(own.use(gateway));
      await untilReady(gateway.url);
      startS.push((performance.now() - since) / 1000);
    }
    const each = async (forSeconds: number): Promise<Loaded[]> =>
      Promise.all(
        started.map(({ url, gateway }) =>
          load({
            url,
            authorization: gateway.bearer(),
            seconds: forSeconds,
            connections: Math.ceil(64 / replicas),
            paths,
          }),
        ),
      );
    await each(2);
    const loaded = await each(seconds);
    return {
      startS: mean(startS),
      perSecond: loaded.reduce((sum, { perSecond }) => sum + perSecond, 0),
      p99Ms: Math.max(...loaded.map(({ p99Ms }) => p99Ms)),
      failed: loaded.reduce((sum, { failed }) => sum + failed, 0),
      residentMb: mean(started.map(({ pid }) => residentBytes(pid) / MB)),
    };
  });
}

async function untilReady(url: string): Promise<void> {
  await until('it is ready', async () => (await fetch(`${url}/health/ready`)).status === 200);
}
