import { randomUUID } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.ts';
import { type Copy, isFinishedJob } from '../upstream/copy.ts';
import type { JobReads } from '../upstream/job-reads.ts';

/** What is new of a job: a copy, or why there is none. */
export type Update = { readonly copy: Copy } | { readonly error: GatewayError };
export type Listener = (update: Update) => void;

/** No job is polled more often, in milliseconds, and none that fails is left alone for longer. */
const LEAST_PACE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

/**
 * Follows one job for all who watch it in this process. A poll is a read like any other: the quota, the copies and the
 * flights of all replicas are one, so that they make one poll upstream together. What others read meanwhile is told as well.
 */
export class JobPoll {
  readonly #listeners = new Set<Listener>();
  readonly #gone = new AbortController();
  readonly #unwatch: () => void;
  #last: Update | undefined;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param caller on whose behalf a job is read of which nothing is known
   * @param freshMs how long an unfinished job is fresh, in milliseconds
   */
  constructor(
    private readonly reads: JobReads,
    private readonly jobId: string,
    private readonly caller: string,
    private readonly freshMs: number,
  ) {
    this.#unwatch = reads.watch(jobId, (copy) => {
      this.#tell({ copy });
    });
    void this.#poll();
  }

  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Tells at once what is known. */
  add(listener: Listener): void {
    this.#listeners.add(listener);
    if (this.#last) listener(this.#last);
  }

  remove(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#unwatch();
    this.#gone.abort();
  }

  /** Never rejects. */
  async #poll(): Promise<void> {
    const { jobId } = this;
    const nextMs = await this.reads
      .read({
        jobId,
        // Who may see it is judged for each watcher.
        caller: { name: this.caller, maySee: () => true },
        correlationId: randomUUID(),
        signal: this.#gone.signal,
      })
      .then(
        ({ copy }) => this.#found(copy),
        (error: unknown) => this.#failed(error),
      );
    if (nextMs === undefined || this.#gone.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#poll(), Math.max(LEAST_PACE_MS, nextMs));
  }

  /** @returns when to look again, in milliseconds; nothing when there is nothing to come */
  #found(copy: Copy): number | undefined {
    this.#tell({ copy });
    if (copy.kind === 'missing' || isFinishedJob(copy)) return undefined;
    return copy.readAt + this.freshMs - performance.now();
  }

  #failed(error: unknown): number | undefined {
    if (this.#gone.signal.aborted) return undefined;
    if (!(error instanceof GatewayError)) return this.#failed(GatewayError.of('InternalServerError'));
    const isMissing = error.status === 404;
    // Who has seen the job need not know of each time that it could not be seen again.
    if (!this.#last || 'error' in this.#last || isMissing) this.#tell({ error });
    return isMissing
      ? undefined
      : Math.min(LONGEST_PAUSE_MS, Math.max(this.freshMs, error.options.retryAfterMs ?? 0));
  }

  #tell(update: Update): void {
    // An answer that comes late is no news.
    if (this.#last && 'copy' in this.#last && 'copy' in update && isFinishedJob(this.#last.copy)) return;
    this.#last = update;
    for (const listener of this.#listeners) listener(update);
  }
}
