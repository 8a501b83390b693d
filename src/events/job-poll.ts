import { randomUUID } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.ts';
import { type Copy, isFinishedJob } from '../upstream/copy.ts';
import type { ReadResult, CacheDirectives } from '../upstream/exchange.ts';
import type { JobReads } from '../upstream/job-reads.ts';

/** What is new of a job: a copy, or why there is none. */
export type Update = { readonly copy: Copy } | { readonly error: GatewayError };
export type Listener = (update: Update) => void;

/** How often a job is looked at whose refresh is still to come, in milliseconds: by then it has been read, or is being read. */
const STALE_PACE_MS = 1000;
/** A copy is as old on every replica to within so many milliseconds: looked at too early, it would be served once more. */
const MARGIN_MS = 10;
/** No job that fails is left alone for longer, in milliseconds. */
const LONGEST_PAUSE_MS = 60_000;

/**
 * Follows one job for all who watch it in this process. A poll is a read like any other: the quota, the copies and the
 * flights of all replicas are one, so that they make one poll upstream together. What others read meanwhile is told as well.
 */
export class JobPoll {
  readonly #listeners = new Set<Listener>();
  readonly #cancellation = new AbortController();
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
    void this.#start();
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
    this.#cancellation.abort();
  }

  /** What is held is told at once, whatever its age. Never rejects. */
  async #start(): Promise<void> {
    await this.#read({ maxAgeMs: Infinity, onlyIfCached: true }).then(
      ({ copy }) => {
        if (copy.kind === 'job') this.#tell({ copy });
      },
      () => undefined,
    );
    await this.#poll();
  }

  #read(directives?: CacheDirectives): Promise<ReadResult> {
    return this.reads.read({
      jobId: this.jobId,
      // Who may see it is judged for each watcher.
      caller: { queueKey: this.caller, maySee: () => true },
      correlationId: randomUUID(),
      ...(directives && { directives }),
      cancellation: this.#cancellation,
    });
  }

  /** Never rejects. */
  async #poll(): Promise<void> {
    const nextMs = await this.#read().then(
      ({ copy }) => this.#found(copy),
      (error: unknown) => this.#failed(error),
    );
    if (nextMs === undefined || this.#cancellation.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#poll(), nextMs);
  }

  /** @returns when to look again, in milliseconds; nothing when there is nothing to come */
  #found(copy: Copy): number | undefined {
    this.#tell({ copy });
    if (copy.kind === 'missing' || isFinishedJob(copy)) return undefined;
    const freshMs = copy.readAt + this.freshMs - performance.now();
    return freshMs > 0 ? freshMs + MARGIN_MS : STALE_PACE_MS;
  }

  #failed(error: unknown): number | undefined {
    if (this.#cancellation.signal.aborted) return undefined;
    if (!(error instanceof GatewayError)) return this.#failed(GatewayError.of('InternalServerError'));
    const pauseMs = Math.max(this.freshMs, error.options.retryAfterMs ?? 0);
    if (this.#isNews(error, pauseMs)) this.#tell({ error });
    return error.status === 404 ? undefined : Math.min(LONGEST_PAUSE_MS, pauseMs);
  }

  /**
   * Who has seen the job need not know of each time that it could not be seen again; and that the quota lets a first read
   * wait is no error either, unless that is for long.
   */
  #isNews({ status }: GatewayError, pauseMs: number): boolean {
    if (status !== 429 && status < 500) return true;
    if (this.#last && 'copy' in this.#last) return false;
    return status !== 429 || pauseMs > LONGEST_PAUSE_MS;
  }

  #tell(update: Update): void {
    if (this.#last && 'copy' in this.#last && 'copy' in update && isLate(update.copy, this.#last.copy))
      return;
    this.#last = update;
    for (const listener of this.#listeners) listener(update);
  }
}

/** An answer that comes late is no news: a read that ended with the copy it had begun with, after another had brought a newer one. */
function isLate(copy: Copy, last: Copy): boolean {
  return isFinishedJob(last) || (!isFinishedJob(copy) && copy.readAt < last.readAt);
}
