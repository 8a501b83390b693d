import { Counter, type Registry } from 'prom-client';

/** The reads with equal labels. */
interface Series {
  readonly outcome: string;
  readonly status: number;
  readonly caller: string;
  count: number;
}

/**
 * Counts reads of jobs. A counter of prom-client handles its labels anew for each count, which would slow down hits:
 * here its values are set when they are collected. The number of series is bounded by outcomes, statuses and names of
 * callers.
 */
export class ReadCounter {
  readonly #all: Series[] = [];
  readonly #byCaller = new Map<string, Map<string, Series[]>>();
  readonly #counter: Counter<'outcome' | 'status' | 'caller'>;

  constructor(registry: Registry) {
    const all = this.#all;
    this.#counter = new Counter({
      name: 'gateway_job_reads_total',
      help: 'Reads of jobs, by outcome, status and caller.',
      labelNames: ['outcome', 'status', 'caller'] as const,
      registers: [registry],
      collect() {
        this.reset();
        for (const { outcome, status, caller, count } of all) {
          this.inc({ outcome, status: String(status), caller }, count);
        }
      },
    });
  }

  /** The counts so far, as a value of prom-client. */
  get(): ReturnType<Counter['get']> {
    return this.#counter.get();
  }

  count(outcome: string, status: number, caller: string): void {
    const byStatus = this.#byCaller.get(caller)?.get(outcome);
    const series = byStatus?.find((one) => one.status === status) ?? this.#first(outcome, status, caller);
    series.count++;
  }

  #first(outcome: string, status: number, caller: string): Series {
    const first = { outcome, status, caller, count: 0 };
    const byOutcome = this.#byCaller.get(caller) ?? new Map<string, Series[]>();
    this.#byCaller.set(caller, byOutcome.set(outcome, [...(byOutcome.get(outcome) ?? []), first]));
    this.#all.push(first);
    return first;
  }
}
