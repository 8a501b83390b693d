import { randomUUID } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.ts';
import { type Copy, isFinishedJob } from '../upstream/copy.ts';
import type { ReadResult, CacheDirectives } from '../upstream/exchange.ts';
import type { JobReads } from '../upstream/job-reads.ts';

/** News of a job: a copy, or the error instead. */
export type Update = { readonly copy: Copy } | { readonly error: GatewayError };
export type Listener = (update: Update) => void;

/** How often a stale copy is polled while its refresh is pending, in milliseconds. */
const STALE_POLL_MS = 1000;
/**
 * How much the age of a copy differs between replicas, in milliseconds. A poll before that would get the same copy
 * again.
 */
const AGE_TOLERANCE_MS = 10;
/** Longest pause after a failed poll, in milliseconds. */
const LONGEST_PAUSE_MS = 60_000;

/**
 * Polls one job for all its watchers in this process. A poll is a read like any other, so that all replicas share one
 * call upstream. Copies that other reads bring are reported as well.
 */
export class JobPoll {
  readonly #listeners = new Set<Listener>();
  readonly #cancellation = new AbortController();
  readonly #unwatch: () => void;
  #last: Update | undefined;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param queueKey of the caller in whose queue the first read stands
   * @param freshMs how long an unfinished job is fresh, in milliseconds
   */
  constructor(
    private readonly reads: JobReads,
    private readonly jobId: string,
    private readonly queueKey: string,
    private readonly freshMs: number,
  ) {
    this.#unwatch = reads.watch(jobId, (copy) => {
      this.#report({ copy });
    });
    void this.#start();
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Calls back at once if the state is known. */
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
    this.#cancellation.abort();
  }

  /** Reports the held copy, whatever its age, before the first poll. Never rejects. */
  async #start(): Promise<void> {
    await this.#read({ maxAgeMs: Infinity, onlyIfCached: true }).then(
      ({ copy }) => {
        if (copy.kind === 'job') this.#report({ copy });
      },
      () => undefined,
    );
    await this.#poll();
  }

  #read(directives?: CacheDirectives): Promise<ReadResult> {
    return this.reads.read({
      jobId: this.jobId,
      // Each stream checks its own caller's permission.
      caller: { queueKey: this.queueKey, maySee: () => true },
      correlationId: randomUUID(),
      ...(directives && { directives }),
      cancellation: this.#cancellation,
    });
  }

  /** Never rejects. */
  async #poll(): Promise<void> {
    const nextMs = await this.#read().then(
      ({ copy }) => this.#onCopy(copy),
      (error: unknown) => this.#onError(error),
    );
    if (nextMs === undefined || this.#cancellation.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#poll(), nextMs);
  }

  /** @returns when to poll again, in milliseconds; nothing if the job will not change */
  #onCopy(copy: Copy): number | undefined {
    this.#report({ copy });
    if (copy.kind === 'missing' || isFinishedJob(copy)) return undefined;
    const freshMs = copy.readAt + this.freshMs - performance.now();
    return freshMs > 0 ? freshMs + AGE_TOLERANCE_MS : STALE_POLL_MS;
  }

  #onError(error: unknown): number | undefined {
    if (this.#cancellation.signal.aborted) return undefined;
    if (!(error instanceof GatewayError)) return this.#onError(GatewayError.of('InternalServerError'));
    const pauseMs = Math.max(this.freshMs, error.options.retryAfterMs ?? 0);
    if (this.#isReported(error, pauseMs)) this.#report({ error });
    return error.status === 404 ? undefined : Math.min(LONGEST_PAUSE_MS, pauseMs);
  }

  /**
   * Passing errors are not reported to watchers that have seen the job, nor is a 429 of a first read, unless its pause
   * is long.
   */
  #isReported({ status }: GatewayError, pauseMs: number): boolean {
    if (status !== 429 && status < 500) return true;
    if (this.#last && 'copy' in this.#last) return false;
    return status !== 429 || pauseMs > LONGEST_PAUSE_MS;
  }

  #report(update: Update): void {
    if (this.#last && 'copy' in this.#last && 'copy' in update && isLate(update.copy, this.#last.copy))
      return;
    this.#last = update;
    for (const listener of this.#listeners) listener(update);
  }
}

/** Whether a copy is older than the latest: its read began before another one brought that. */
function isLate(copy: Copy, last: Copy): boolean {
  return isFinishedJob(last) || (!isFinishedJob(copy) && copy.readAt < last.readAt);
}
