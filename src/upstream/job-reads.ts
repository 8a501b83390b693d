import type { Copies, CopyListener } from './copies.ts';
import type { Trace } from '../tracing/tracing.ts';
import type { JobReader, JobResult, Cancellation, Requester, CacheDirectives } from './exchange.ts';
import type { Lifetimes } from './freshness.ts';
import { freshInMemory } from './layers/refresh.ts';
import { visibleTo } from './layers/authorize-job.ts';

/** A caller's request for a job. */
export interface JobRead {
  /** A UUID, in any letter case. */
  readonly jobId: string;
  readonly caller: Requester;
  readonly correlationId: string;
  /** Default: the gateway decides which copies are new enough. */
  readonly directives?: CacheDirectives;
  /** Longest wait of the caller in queues, in milliseconds. Default, and most: the setting. */
  readonly patienceMs?: number | undefined;
  /** Present when tracing is on. */
  readonly trace?: Trace | undefined;
  /** Its signal aborts when the caller goes away. */
  readonly cancellation: Cancellation;
}

/** Least patience, in milliseconds: a free slot takes some time too. */
const LEAST_PATIENCE_MS = 50;
const NO_DIRECTIVES: CacheDirectives = { maxAgeMs: Infinity, onlyIfCached: false };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isJobId(id: string): boolean {
  return UUID.test(id);
}

/** Reads jobs, through memory, store and upstream. */
export class JobReads {
  /** @param patienceMs longest wait in queues, in milliseconds */
  constructor(
    private readonly exchange: JobReader,
    private readonly copies: Pick<Copies, 'watch' | 'peekMemory'>,
    private readonly lifetimes: Lifetimes,
    private readonly patienceMs: number,
  ) {}

  /**
   * Answers a read from memory alone, by the rules of the layers `refresh` and `authorizeJob`.
   * @param jobId in any letter case
   * @returns nothing unless this process holds a fresh copy that the caller may see
   */
  peekFresh(jobId: string, caller: Requester, directives = NO_DIRECTIVES): JobResult | undefined {
    const askedAt = performance.now();
    const read = { jobId: jobId.toLowerCase(), directives, askedAt };
    const fresh = freshInMemory(this.copies, read, this.lifetimes, askedAt);
    return fresh && visibleTo(caller, fresh);
  }

  /** @throws {GatewayError} with a code of docs/CONTRACT.md, section 4; `CallerGone` */
  read({
    jobId,
    caller,
    correlationId,
    directives = NO_DIRECTIVES,
    patienceMs = Infinity,
    trace,
    cancellation,
  }: JobRead): Promise<JobResult> {
    return this.exchange({
      jobId: jobId.toLowerCase(),
      caller,
      correlationId,
      cancellation,
      directives,
      trace,
      askedAt: performance.now(),
      patienceMs: Math.min(Math.max(patienceMs, LEAST_PATIENCE_MS), this.patienceMs),
    });
  }

  /** Tells of each newer copy of a job, whichever replica has read it. @returns ends it */
  watch(jobId: string, listener: CopyListener): () => void {
    return this.copies.watch(jobId, listener);
  }
}
