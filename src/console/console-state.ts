import type { Metrics } from '../metrics/metrics.ts';
import type { Status } from '../status.ts';

/** What the operators' part of the console shows: the gateway's status and its totals. */
export interface ConsoleState extends Omit<Status, 'redis'> {
  /** Milliseconds since 1970, by the clock of this process. */
  readonly time: number;
  readonly redis: string;
  /** Reads answered since the start, by their outcome. */
  readonly reads: Totals;
  /** Calls upstream since the start, by status. */
  readonly upstream: Totals;
}

type Totals = Readonly<Record<string, number>>;

/** Adds the totals to a status. Waits for nothing but the counters of this process. */
export async function consoleState(status: Status, metrics: Metrics): Promise<ConsoleState> {
  return {
    time: Date.now(),
    ...status,
    redis: status.redis.state,
    reads: await totals(metrics.jobReads, 'outcome'),
    upstream: await totals(metrics.upstreamRequests, 'status'),
  };
}

/** A counter of the metrics, as far as it is read here. */
interface CounterValues {
  get(): Promise<{ values: { labels: Partial<Record<string, string | number>>; value: number }[] }>;
}

/** The sums of a counter by one of its labels. The names of callers are left to the metrics. */
async function totals(counter: CounterValues, label: string): Promise<Totals> {
  const sums: Record<string, number> = {};
  for (const { labels, value } of (await counter.get()).values) {
    const key = String(labels[label]);
    sums[key] = (sums[key] ?? 0) + value;
  }
  return sums;
}
