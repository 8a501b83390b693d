import { Agent, get } from 'node:http';
import Bottleneck from 'bottleneck';
import { tokenFrom } from '../../support/consumer.ts';
import { jobIds } from '../../support/reads.ts';
import { startGateway } from '../contenders/gateway.ts';
import { type Options, say } from '../lib/options.ts';
import { withResources } from '../lib/resources.ts';
import { median, percentile, spread } from '../lib/statistics.ts';
import type { Table } from '../lib/table.ts';

/** How long upstream takes, in milliseconds. */
const UPSTREAM_MS = 20;
const READS = 200;

interface Way {
  readonly name: string;
  /** One read of a job that nobody has read before, in milliseconds. */
  readonly read: (jobId: string) => Promise<number>;
}

/** What the gateway adds to a read that has to go upstream, when the quota is free: one read at a time, by each way in turn. */
export function miss(options: Options): Promise<Table[]> {
  return withResources(async (resources) => {
    const upstream = await resources.upstream(
      { FAKE_UPSTREAM_UNKNOWN_JOBS: 'make' },
      { latencyMs: UPSTREAM_MS },
    );
    const redis = await resources.redis();
    const plain = resources.use(await startGateway(upstream));
    const shared = resources.use(await startGateway(upstream, { REDIS_URL: redis.url }));
    const bottleneck = new Bottleneck({ maxConcurrent: 10 });
    const ways: Way[] = [
      { name: 'direct', read: reader(upstream.url, `Bearer ${await tokenFrom(upstream)}`) },
      { name: 'gateway, memory only', read: reader(plain.url, plain.gateway.bearer()) },
      { name: 'gateway with Redis', read: reader(shared.url, shared.gateway.bearer()) },
      {
        name: 'Bottleneck alone, no call',
        read: () => took(() => bottleneck.schedule(async () => undefined)),
      },
    ];
    const rounds = new Map(ways.map(({ name }) => [name, [] as number[][]]));
    for (let round = 0; round < options.rounds; round++) {
      const times = ways.map((): number[] => []);
      for (const jobId of jobIds(options.short ? 10 : READS)) {
        for (const [index, way] of ways.entries()) times[index]?.push(await way.read(jobId));
      }
      for (const [index, { name }] of ways.entries()) rounds.get(name)?.push(times[index] ?? []);
      say(
        `miss, round ${round + 1}: ${ways.map(({ name }, index) => `${name} ${median(times[index] ?? []).toFixed(2)} ms`).join(', ')}`,
      );
    }
    return [table(rounds)];
  });
}

function reader(url: string, authorization: string): Way['read'] {
  const agent = new Agent({ keepAlive: true });
  return (jobId) =>
    took(
      () =>
        new Promise<void>((resolve, reject) => {
          get(`${url}/contextcapture/jobs/${jobId}`, { agent, headers: { authorization } }, (response) => {
            response.resume();
            if (response.statusCode !== 200) reject(new Error(`a read is answered ${response.statusCode}`));
            response.once('end', resolve).once('error', reject);
          }).once('error', reject);
        }),
    );
}

async function took(run: () => Promise<unknown>): Promise<number> {
  const since = performance.now();
  await run();
  return performance.now() - since;
}

function table(rounds: ReadonlyMap<string, readonly number[][]>): Table {
  const direct = (rounds.get('direct') ?? []).map(median);
  const rows = [...rounds].map(([name, times]) => {
    const medians = times.map(median);
    const calls = name !== 'Bottleneck alone, no call' && name !== 'direct';
    return [
      name,
      spread(medians),
      calls ? spread(medians.map((ms, index) => ms - (direct[index] ?? NaN))) : undefined,
      spread(times.map((of) => percentile(of, 99))),
    ];
  });
  return { name: 'miss', columns: ['way', 'median, ms', 'added, ms', 'p99, ms'], rows };
}
