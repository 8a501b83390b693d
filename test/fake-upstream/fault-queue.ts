import type { FaultSpec } from './faults.ts';

/** Which requests a fault meets. */
export interface FaultScope {
  /** Only this job's; otherwise every job's. */
  readonly jobId?: string;
  /** Only the next so many; otherwise all until the faults are cleared. */
  readonly times?: number;
}

interface Pending {
  readonly counted: { readonly spec: FaultSpec; left: number }[];
  standing: FaultSpec | undefined;
}

const EVERY_JOB = '';

/**
 * The faults to come. A job's own go before those for every job; among each, those for a number of requests go first,
 * in the order in which they were added, then the last one added that stands until cleared.
 */
export class FaultQueue {
  readonly #pending = new Map<string, Pending>();
  #cleared = Promise.withResolvers<undefined>();

  /** Resolves when the faults of now are cleared. */
  get cleared(): Promise<void> {
    return this.#cleared.promise;
  }

  add(spec: FaultSpec, { jobId = EVERY_JOB, times }: FaultScope = {}): void {
    const pending = this.#pending.get(jobId.toLowerCase()) ?? { counted: [], standing: undefined };
    this.#pending.set(jobId.toLowerCase(), pending);
    if (times === undefined) pending.standing = spec;
    else if (times > 0) pending.counted.push({ spec, left: times });
  }

  /** The fault that a request for this job meets, if any. It is used up by that. */
  take(jobId: string): FaultSpec | undefined {
    return this.#takeFrom(jobId.toLowerCase()) ?? this.#takeFrom(EVERY_JOB);
  }

  clear(): void {
    this.#pending.clear();
    this.#cleared.resolve(undefined);
    this.#cleared = Promise.withResolvers<undefined>();
  }

  #takeFrom(key: string): FaultSpec | undefined {
    const pending = this.#pending.get(key);
    const next = pending?.counted[0];
    if (next === undefined) return pending?.standing;
    next.left -= 1;
    if (next.left === 0) pending?.counted.shift();
    return next.spec;
  }
}
