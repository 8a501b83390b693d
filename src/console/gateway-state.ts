import type { Budget, BudgetMode, WindowState } from '../budget/budget.ts';
import type { Metrics } from '../metrics/metrics.ts';

/** How the gateway does at one moment, as the operators' part of the console shows it. It names no host and no secret. */
export interface GatewayState {
  /** Milliseconds since 1970, by the clock of this process. */
  readonly time: number;
  readonly phase: string;
  readonly budget: {
    readonly mode: BudgetMode;
    readonly windows: readonly (Pick<WindowState, 'name' | 'remaining'> & { readonly limit: number })[];
    readonly closedMs: number;
  };
  readonly queue: { readonly waiting: number; readonly limit: number };
  /** Reads answered since the start, by what the answer came from. */
  readonly reads: Totals;
  /** Calls upstream since the start, by status. */
  readonly upstream: Totals;
  readonly circuit: string;
  readonly token: string;
  readonly redis: string;
  /** Open event streams of jobs; absent in a gateway that has none. */
  readonly watchers?: number;
}

type Totals = Readonly<Record<string, number>>;

/** Those who know, as far as it is shown. */
export interface StateSources {
  readonly lifecycle: { readonly phase: string };
  readonly metrics: Metrics;
  readonly budget: Pick<Budget, 'state'>;
  readonly queue: { readonly depth: number };
  readonly circuit: { readonly state: string };
  readonly tokens: { readonly state: string };
  readonly redis: { readonly status: string } | undefined;
}

/** What the settings say, so that a number can be seen against its limit. */
export interface StateLimits {
  readonly queueLimit: number;
  readonly windows: readonly { readonly name: string; readonly limit: number }[];
  readonly replicas: number;
}

/** Reads the state. Nothing is called or waited for but the counters of this process. */
export async function readState(sources: StateSources, limits: StateLimits): Promise<GatewayState> {
  const { metrics, budget, queue, circuit, tokens, redis } = sources;
  const watchers = await gaugeValue(metrics, 'gateway_watchers');
  return {
    time: Date.now(),
    phase: sources.lifecycle.phase,
    budget: budgetOf(budget, limits),
    queue: { waiting: queue.depth, limit: limits.queueLimit },
    reads: await totals(metrics.jobReads, 'outcome'),
    upstream: await totals(metrics.upstreamRequests, 'status'),
    circuit: circuit.state,
    token: tokens.state,
    redis: redis?.status ?? 'not used',
    ...(watchers !== undefined && { watchers }),
  };
}

/** Who shares the budget with nobody has its part of each limit. */
function budgetOf(budget: Pick<Budget, 'state'>, limits: StateLimits): GatewayState['budget'] {
  const { mode, windows, closedMs } = budget.state();
  const sharedBy = mode === 'shared' ? 1 : limits.replicas;
  const limitOf = (name: string): number => limits.windows.find((window) => window.name === name)?.limit ?? 0;
  return {
    mode,
    closedMs: Math.round(closedMs),
    windows: windows.map(({ name, remaining }) => ({
      name,
      remaining,
      limit: Math.max(1, Math.floor(limitOf(name) / sharedBy)),
    })),
  };
}

/** A counter of the metrics, as far as it is read here. */
interface Counts {
  get(): Promise<{ values: { labels: Partial<Record<string, string | number>>; value: number }[] }>;
}

/** The sums of a counter by one of its labels: who the callers are stays with the metrics. */
async function totals(counter: Counts, label: string): Promise<Totals> {
  const sums: Record<string, number> = {};
  for (const { labels, value } of (await counter.get()).values) {
    const key = String(labels[label]);
    sums[key] = (sums[key] ?? 0) + value;
  }
  return sums;
}

/** By its name, because the metrics have it only when there is something to show. */
async function gaugeValue({ registry }: Metrics, name: string): Promise<number | undefined> {
  const gauge = registry.getSingleMetric(name);
  return gauge && (await gauge.get()).values[0]?.value;
}
