import type { Copies, CopyListener } from './copies.ts';
import type { Trace } from '../tracing/tracing.ts';
import type { JobReader, JobResult, Cancellation, Requester, CacheDirectives } from './exchange.ts';
import type { Lifetimes } from './freshness.ts';
import { cacheHit, satisfies } from './layers/refresh.ts';
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
   * The answer of `read`, if nothing has to be awaited for it: a fresh copy in memory that the caller may see.
   * @param jobId in any letter case
   */
  peekFresh(jobId: string, caller: Requester, directives = NO_DIRECTIVES): JobResult | undefined {
    const held = this.copies.peekMemory(jobId.toLowerCase());
    const askedAt = performance.now();
    if (!held || !satisfies(held, { directives, askedAt }, this.lifetimes, askedAt)) return undefined;
    return visibleTo(caller, cacheHit(held));
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
