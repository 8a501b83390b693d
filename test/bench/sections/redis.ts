import { Redis } from 'ioredis';
import { jobIds, readJob } from '../../support/reads.ts';
import { startGateway } from '../contenders/gateway.ts';
import { type Options, say } from '../lib/options.ts';
import { withResources } from '../lib/resources.ts';
import { spread } from '../lib/statistics.ts';
import type { Table } from '../lib/table.ts';

const READS = 1000;

/** Of one read upstream: how often a command is sent, and how long Redis is busy with it, in microseconds. */
interface Use {
  readonly calls: number;
  readonly us: number;
}

/** Processor time of the whole process; the time of a script holds that of its commands. */
const PROCESS = 'the whole process';

/** What a read that goes upstream asks of Redis: each of its commands, by Redis' own count. */
export async function redisUse(options: Options): Promise<Table[]> {
  const rounds: Map<string, Use>[] = [];
  for (let round = 0; round < options.rounds; round++) rounds.push(await measure(options.short ? 50 : READS));
  const names = [...new Set(rounds.flatMap((round) => [...round.keys()]))];
  const column = (pick: (round: Map<string, Use>) => number) => spread(rounds.map(pick));
  const rows = names.map((name) => [
    name,
    column((round) => round.get(name)?.calls ?? 0),
    column((round) => round.get(name)?.us ?? 0),
  ]);
  say(`redis: ${JSON.stringify(rows.at(-1))}`);
  return [{ name: 'redis', columns: ['command', 'a read', 'Redis busy, µs a read'], rows }];
}

function measure(reads: number): Promise<Map<string, Use>> {
  return withResources(async (own) => {
    const upstream = await own.upstream({ FAKE_UPSTREAM_UNKNOWN_JOBS: 'make' });
    const server = await own.redis();
    const { gateway } = own.use(
      await startGateway(upstream, { REDIS_URL: server.url, UPSTREAM_LIMITS: '100000/1m,1000000/1h' }),
    );
    const client = new Redis(server.url);
    own.use({ stop: async () => client.disconnect() });
    await client.config('RESETSTAT');
    const before = await processorUs(client);
    for (const id of jobIds(reads)) await readJob(gateway, id);
    const stats = await client.info('commandstats');
    const uses = [...stats.matchAll(/^cmdstat_([\w|]+):calls=(\d+),usec=(\d+)/gm)]
      // What this measurement itself has asked, and what has nothing to do with reads.
      .filter(([, name = '']) => !/^(config|info|ping|hello|client|select|auth)/.test(name))
      .map(
        ([, name = '', calls, us]) =>
          [name, { calls: Number(calls) / reads, us: Number(us) / reads }] as const,
      );
    const us = ((await processorUs(client)) - before) / reads;
    return new Map([...uses, [PROCESS, { calls: 0, us }]]);
  });
}

/** What Redis' process has had of the processor, in microseconds. */
async function processorUs(client: Redis): Promise<number> {
  const times = [...(await client.info('cpu')).matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm)];
  return times.reduce((sum, [, seconds]) => sum + 1e6 * Number(seconds), 0);
}
