import { setTimeout as delay } from 'node:timers/promises';
import { type Deployment, reader } from './deployment.ts';
import { jobIds } from './reads.ts';

export interface Sample {
  readonly kind: 'cached' | 'cold';
  /** Start, in milliseconds on the clock of `performance.now()`. */
  readonly at: number;
  /** 0: no answer. */
  readonly status: number;
  readonly tookMs: number;
}

export interface LoadOptions {
  /** Reads per second. */
  readonly cached: number;
  readonly cold: number;
  /** Finished jobs that are read repeatedly. */
  readonly cachedIds: readonly string[];
}

const TICK_MS = 20;

/** A constant rate of reads of cached and cold jobs over all replicas, independent of earlier reads. */
export class Load {
  readonly samples: Sample[] = [];
  readonly #read: ReturnType<typeof reader>;
  readonly #options: LoadOptions;
  readonly #pending = new Set<Promise<void>>();
  readonly #loop: Promise<void>;
  #running = true;

  constructor(deployment: Pick<Deployment, 'gateways'>, options: LoadOptions) {
    this.#read = reader(deployment);
    this.#options = options;
    this.#loop = this.#run();
  }

  /** Stops, and waits for all reads. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
    await Promise.all(this.#pending);
  }

  /** Samples that began within a time range. */
  during(kind: Sample['kind'], from: number, to: number): Sample[] {
    return this.samples.filter((sample) => sample.kind === kind && sample.at >= from && sample.at < to);
  }

  async #run(): Promise<void> {
    const { cached, cold, cachedIds } = this.#options;
    const since = performance.now();
    let [cachedDone, coldDone] = [0, 0];
    while (this.#running) {
      const seconds = (performance.now() - since) / 1000;
      for (; cachedDone < seconds * cached; cachedDone++) {
        this.#begin('cached', cachedIds[cachedDone % cachedIds.length]!);
      }
      for (; coldDone < seconds * cold; coldDone++) this.#begin('cold', jobIds(1)[0]!);
      await delay(TICK_MS);
    }
  }

  #begin(kind: Sample['kind'], jobId: string): void {
    const at = performance.now();
    const reading = this.#read(jobId)
      .then(
        ({ status, tookMs }) => ({ kind, at, status, tookMs }),
        () => ({ kind, at, status: 0, tookMs: performance.now() - at }),
      )
      .then((sample) => {
        this.samples.push(sample);
        this.#pending.delete(reading);
      });
    this.#pending.add(reading);
  }
}

/** Percentile of the duration, in milliseconds. */
export function percentile(samples: readonly Sample[], percent: number): number {
  const times = samples.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return times[Math.min(times.length - 1, Math.floor((times.length * percent) / 100))] ?? 0;
}

/** Number of samples by status. */
export function counts(samples: readonly Sample[]): Record<number, number> {
  const byStatus = Object.groupBy(samples, ({ status }) => status);
  return Object.fromEntries(Object.entries(byStatus).map(([status, of]) => [status, of?.length ?? 0]));
}
