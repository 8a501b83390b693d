import { Counter, type Registry } from 'prom-client';

/** Reads that were alike. */
interface Alike {
  readonly outcome: string;
  readonly status: number;
  readonly caller: string;
  count: number;
}

/**
 * Reads of jobs, counted without what a counter of prom-client does with labels each time: a hit would feel it. The counter learns the
 * counts when somebody asks for it. There are as many as outcomes, statuses and names of callers.
 */
export class ReadCounter {
  readonly #all: Alike[] = [];
  readonly #byCaller = new Map<string, Map<string, Alike[]>>();
  readonly #counter: Counter<'outcome' | 'status' | 'caller'>;

  constructor(registry: Registry) {
    const all = this.#all;
    this.#counter = new Counter({
      name: 'gateway_job_reads_total',
      help: 'Reads of jobs by callers, by what the answer came from, its status and the caller.',
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

  /** What has been counted so far, as prom-client has it. */
  get(): ReturnType<Counter['get']> {
    return this.#counter.get();
  }

  count(outcome: string, status: number, caller: string): void {
    const byStatus = this.#byCaller.get(caller)?.get(outcome);
    const alike = byStatus?.find((one) => one.status === status) ?? this.#first(outcome, status, caller);
    alike.count++;
  }

  #first(outcome: string, status: number, caller: string): Alike {
    const first = { outcome, status, caller, count: 0 };
    const byOutcome = this.#byCaller.get(caller) ?? new Map<string, Alike[]>();
    this.#byCaller.set(caller, byOutcome.set(outcome, [...(byOutcome.get(outcome) ?? []), first]));
    this.#all.push(first);
    return first;
  }
}
