import type { Outcome } from './reactions.ts';

/** A request for a job that came with some Authorization. */
export interface Call {
  /** When it arrived, in milliseconds on the clock of `performance.now()`. */
  readonly at: number;
  /** As it stood in the path. */
  readonly jobId: string;
  readonly status: Outcome;
  /** Its token was good and the limits let it through; a fault may still have met it. */
  readonly admitted: boolean;
  /** How long the limits would have refused it, in milliseconds; absent when they let it through. */
  readonly refusedForMs?: number;
  readonly correlationId: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The bearer token; empty for another scheme. */
  readonly token: string;
}

export class CallLog {
  readonly calls: Call[] = [];
  #refused = 0;
  #waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  /** How many the limits have refused. */
  get refused(): number {
    return this.#refused;
  }

  add(call: Call): void {
    this.calls.push(call);
    if (call.refusedForMs !== undefined) this.#refused += 1;
    const due = this.#waiters.filter(({ count }) => count <= this.calls.length);
    this.#waiters = this.#waiters.filter(({ count }) => count > this.calls.length);
    for (const { resolve } of due) resolve();
  }

  /** Resolves once so many calls have arrived. */
  async arrived(count: number): Promise<void> {
    if (this.calls.length >= count) return;
    await new Promise<void>((resolve) => this.#waiters.push({ count, resolve }));
  }

  callsFor(jobId: string): Call[] {
    return this.calls.filter((call) => call.jobId.toLowerCase() === jobId.toLowerCase());
  }

  /** The largest number of admitted calls that arrived in any window of this length. */
  mostInWindow(windowMs: number): number {
    const times = this.calls.filter(({ admitted }) => admitted).map(({ at }) => at);
    let most = 0;
    let oldest = 0;
    times.forEach((at, index) => {
      while ((times[oldest] ?? Infinity) + windowMs <= at) oldest++;
      most = Math.max(most, index - oldest + 1);
    });
    return most;
  }

  clear(): void {
    this.calls.length = 0;
    this.#refused = 0;
  }
}
