import { Consumer, tokenFrom } from '../../support/consumer.ts';
import type { FakeUpstreamProcess, RecordedCall } from '../../support/fake-upstream-process.ts';
import { jobIds, readJob } from '../../support/reads.ts';
import { startGateway } from '../contenders/gateway.ts';
import {
  type QuotaClient,
  type QuotaTask,
  withAxiosRetry,
  withBottleneck,
  withPQueue,
} from '../contenders/quota-clients.ts';
import { type Options, say } from '../lib/options.ts';
import { withResources } from '../lib/resources.ts';
import { spread } from '../lib/statistics.ts';
import type { Table } from '../lib/table.ts';

const WINDOW_MS = 2000;
const LIMIT = 500;
const JOBS = 2000;
/** What was on the wire when upstream refused, in milliseconds. */
const ON_THE_WIRE_MS = 50;

type Kind = 'fixed' | 'sliding' | 'bucket';

interface Case {
  readonly kind: Kind;
  /** Whether somebody else uses half of the quota meanwhile. */
  readonly halfEaten: boolean;
}

const CASES: readonly Case[] = [
  { kind: 'fixed', halfEaten: false },
  { kind: 'sliding', halfEaten: false },
  { kind: 'bucket', halfEaten: false },
  { kind: 'sliding', halfEaten: true },
];

interface Outcome {
  readonly seconds: number;
  readonly used: number;
  readonly refused: number;
  readonly failed: number;
  readonly whileClosed: number;
}

/** How many distinct jobs are read under one limit, all wanted at once, by the gateway and by what a team would use instead. */
export async function quota(options: Options): Promise<Table[]> {
  const tables: Table[] = [];
  for (const each of options.short ? CASES.slice(0, 1) : CASES) {
    const outcomes = new Map(Object.keys(CLIENTS).map((name) => [name, [] as Outcome[]]));
    for (let round = 0; round < options.rounds; round++) {
      for (const [name, client] of Object.entries(CLIENTS)) {
        const outcome = await measure(each, client, options.short ? 500 : JOBS);
        outcomes.get(name)?.push(outcome);
        say(`quota, ${nameOf(each)}, round ${round + 1}: ${name} ${JSON.stringify(outcome)}`);
      }
    }
    tables.push(table(each, outcomes));
  }
  return tables;
}

type Run = (upstream: FakeUpstreamProcess, task: QuotaTask) => Promise<number>;

const CLIENTS: Readonly<Record<string, Run>> = {
  gateway: throughGateway,
  'axios-retry': direct(withAxiosRetry),
  'p-queue': direct(withPQueue),
  Bottleneck: direct(withBottleneck),
};

function direct(client: QuotaClient): Run {
  return (_fake, task) => client(task);
}

/** One replica with Redis, patience and queue set to suffice. */
function throughGateway(upstream: FakeUpstreamProcess, { jobIds: ids, limit }: QuotaTask): Promise<number> {
  return withResources(async (own) => {
    const redis = await own.redis();
    const { gateway } = own.use(
      await startGateway(upstream, {
        REDIS_URL: redis.url,
        UPSTREAM_LIMITS: `${limit}/${WINDOW_MS}ms`,
        PATIENCE: '10m',
        QUEUE_LIMIT: String(ids.length),
      }),
    );
    const seen = await Promise.all(ids.map((id) => readJob(gateway, id)));
    return seen.filter(({ status }) => status !== 200).length;
  });
}

function measure({ kind, halfEaten }: Case, run: Run, jobs: number): Promise<Outcome> {
  return withResources(async (resources) => {
    const upstream = await resources.upstream(
      {
        FAKE_UPSTREAM_LIMITS: `${LIMIT}/${WINDOW_MS}ms`,
        FAKE_UPSTREAM_WINDOW_KIND: kind,
        FAKE_UPSTREAM_UNKNOWN_JOBS: 'make',
      },
      { latencyMs: [5, 25] },
    );
    const token = await tokenFrom(upstream);
    const other = halfEaten ? await Consumer.start(upstream, (2 * WINDOW_MS) / LIMIT) : undefined;
    const failed = await run(upstream, {
      url: upstream.url,
      token,
      jobIds: jobIds(jobs),
      limit: LIMIT,
      windowMs: WINDOW_MS,
    });
    await other?.stop();
    const told = await upstream.recordedCalls();
    const [own, others] = [false, true].map((isOther) =>
      told.filter(({ jobId }) => (other?.ids.has(jobId) ?? false) === isOther),
    );
    return { ...outcomeOf(own ?? [], others ?? []), failed };
  });
}

function outcomeOf(calls: readonly RecordedCall[], others: readonly RecordedCall[]): Omit<Outcome, 'failed'> {
  const refusals = calls.filter(({ refusedForMs }) => refusedForMs !== undefined);
  return {
    seconds: ((calls.at(-1)?.at ?? 0) - (calls[0]?.at ?? 0)) / 1000,
    used: partUsed(calls, others),
    refused: refusals.length,
    whileClosed: sentWhileClosed(calls),
  };
}

/**
 * The part that was used of what the others left of the limit, in the whole windows from one window after the first call on: a last
 * window that is not whole says more of when the jobs ran out.
 */
function partUsed(calls: readonly RecordedCall[], others: readonly RecordedCall[]): number {
  const from = (calls[0]?.at ?? 0) + WINDOW_MS;
  const windows = Math.floor(((calls.at(-1)?.at ?? 0) - from) / WINDOW_MS);
  const admitted = (of: readonly RecordedCall[]): number =>
    of.filter(({ at, status }) => status === 200 && at >= from && at < from + windows * WINDOW_MS).length;
  return admitted(calls) / (windows * LIMIT - admitted(others));
}

/** Calls that came after a refusal and before the time that it named, those on the wire at that moment aside. */
function sentWhileClosed(calls: readonly RecordedCall[]): number {
  let [closedFrom, closedUntil] = [Infinity, -Infinity];
  return calls.filter(({ at, refusedForMs }) => {
    const isEarly = at > closedFrom && at < closedUntil;
    if (refusedForMs !== undefined) {
      if (at >= closedUntil) closedFrom = at + ON_THE_WIRE_MS;
      closedUntil = Math.max(closedUntil, at + 1000 * Math.ceil(refusedForMs / 1000));
    }
    return isEarly;
  }).length;
}

function nameOf({ kind, halfEaten }: Case): string {
  return `${kind}${halfEaten ? ', half eaten' : ''}`;
}

function table(each: Case, outcomes: ReadonlyMap<string, readonly Outcome[]>): Table {
  const rows = [...outcomes].map(([name, of]) => {
    const column = (pick: (outcome: Outcome) => number) => spread(of.map(pick));
    return [
      name,
      column(({ seconds }) => seconds),
      column(({ used }) => used),
      column(({ refused }) => refused),
      column(({ failed }) => failed),
      column(({ whileClosed }) => whileClosed),
    ];
  });
  return {
    name: `quota-${each.kind}${each.halfEaten ? '-half-eaten' : ''}`,
    columns: ['client', 'time, s', 'limit used', 'upstream 429s', 'failed reads', 'sent while closed'],
    rows,
  };
}
