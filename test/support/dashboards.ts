import { setTimeout as delay } from 'node:timers/promises';
import type { Seen } from './reads.ts';

export interface DashboardSample extends Seen {
  readonly jobId: string;
  /** Arrival of the answer, in milliseconds since 1970. */
  readonly at: number;
}

/** Clients that each read a job every second. */
export class Dashboards {
  readonly samples: DashboardSample[] = [];
  #running = true;
  readonly #done: Promise<unknown>;

  constructor(read: (jobId: string) => Promise<Seen>, jobIds: readonly string[], clients: number) {
    this.#done = Promise.all(
      Array.from({ length: clients }, async (_, client) => {
        await delay((client * 1000) / clients);
        for (let turn = client; this.#running; turn += 7) {
          const due = performance.now() + 1000;
          const jobId = jobIds[turn % jobIds.length]!;
          const seen = await read(jobId);
          this.samples.push({ ...seen, jobId, at: performance.timeOrigin + performance.now() });
          await delay(Math.max(0, due - performance.now()));
        }
      }),
    );
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }
}

/** Age of a body, by the time that the fake upstream has put into it (`stamped`). */
export function ageMs({ at, body }: DashboardSample): number {
  return at - (JSON.parse(body.toString()) as { job: { stampedMs: number } }).job.stampedMs;
}
