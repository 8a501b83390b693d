import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Bench } from 'tinybench';
import { jobDocument } from '../../fake-upstream/job-document.ts';
import { type Options, say } from '../lib/options.ts';
import { spread } from '../lib/statistics.ts';
import type { Table } from '../lib/table.ts';

const DIST = join(import.meta.dirname, '../../../dist');
const JOB_ID = 'cc3d35cc-416a-4262-9714-b359da70b419';
const WAITING = [10, 1000, 10_000];

/** What the parts of a read cost by themselves, in one process. */
export async function parts(options: Options): Promise<Table[]> {
  const rounds: Map<string, number>[] = [];
  for (let round = 0; round < options.rounds; round++) {
    const bench = new Bench({ time: options.short ? 20 : 500, warmupTime: options.short ? 5 : 100 });
    await addHitPath(bench);
    for (const count of WAITING) await addQueue(bench, count);
    await bench.run();
    rounds.push(new Map(bench.tasks.map((task) => [task.name, nanoseconds(task)])));
    say(`parts, round ${round + 1}`);
  }
  const names = [...(rounds[0]?.keys() ?? [])];
  const rows = names.map((name) => [name, spread(rounds.map((round) => round.get(name) ?? NaN))]);
  return [{ name: 'parts', columns: ['part', 'ns'], rows }];
}

function nanoseconds({ name, result }: Bench['tasks'][number]): number {
  if (result.state !== 'completed') throw new Error(`${name} has not been measured: ${result.state}`);
  return result.latency.mean * 1e6;
}

/** The built code, with the types of the source. */
async function built<T>(file: string): Promise<T> {
  return (await import(join(DIST, file))) as T;
}

async function addHitPath(bench: Bench): Promise<void> {
  const { parseJob } = await built<typeof import('../../../src/upstream/copy.ts')>('upstream/copy.js');
  const { Copies } = await built<typeof import('../../../src/upstream/copies.ts')>('upstream/copies.js');
  const { jobResponse } =
    await built<typeof import('../../../src/jobs/job-response.ts')>('jobs/job-response.js');
  const { KnownCallers } =
    await built<typeof import('../../../src/callers/known-callers.ts')>('callers/known-callers.js');
  const { KeyRing } = await built<typeof import('../../../src/callers/key-ring.ts')>('callers/key-ring.js');
  const body = jobDocument(JOB_ID, {}, [{ state: 'success', at: Date.now() }]);
  const copy = parseJob(JOB_ID, body, 'application/json', performance.now());
  if (!copy) throw new Error('the sample is no job');
  const lifetimes = { finishedMs: 3.6e6, activeMs: 5000, staleMs: 3.6e6, missingMs: 10_000 };
  const copies = new Copies({ lifetimes, maxBytes: 64 * 2 ** 20 });
  await copies.put(JOB_ID, copy, undefined);
  const authorization = 'Bearer a-key-of-the-bench';
  const keySha256 = [createHash('sha256').update(authorization.slice('Bearer '.length)).digest('hex')];
  const callers = new KnownCallers(
    [new KeyRing()],
    [{ name: 'bench', keySha256, iTwins: ['*'], operator: false }],
  );
  await callers.authenticate(authorization);
  bench
    .add('a copy made of a document', () => {
      parseJob(JOB_ID, body, 'application/json', 0);
    })
    .add('a caller known by its header', () => {
      void callers.authenticate(authorization);
    })
    .add('a copy found in memory', () => {
      copies.peekMemory(JOB_ID);
    })
    .add('the head of an answer', () => {
      jobResponse({ copy, source: 'memory', collapsed: false }, 5000, undefined);
    });
}

/** Enqueueing behind so many, the position, and leaving: ten callers with as many reads each. */
async function addQueue(bench: Bench, count: number): Promise<void> {
  const { ReadQueue } =
    await built<typeof import('../../../src/upstream/read-queue.ts')>('upstream/read-queue.js');
  const queue = new ReadQueue(100_000);
  const ticket = (index: number) => ({
    callers: [`caller-${index % 10}`],
    isRetry: false,
    staleCopy: undefined,
    mustRevalidate: false,
  });
  for (let index = 0; index < count; index++) queue.enqueue(ticket(index));
  let turn = 0;
  bench.add(`a position in the queue among ${count}`, () => {
    const one = ticket(turn++);
    queue.enqueue(one);
    queue.positionOf(one);
    queue.dequeue();
  });
}
