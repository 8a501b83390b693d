import type { Copies, CopyListener } from './copies.ts';
import type { Trace } from '../tracing/tracing.ts';
import type { JobReader, JobResult, Cancellation, Requester, CacheDirectives } from './exchange.ts';
import type { Lifetimes } from './freshness.ts';
import { freshInMemory } from './layers/refresh.ts';
import { visibleTo } from './layers/authorize-job.ts';

/** What a caller asks for. */
export interface JobRead {
  /** A UUID, in any letter case. */
  readonly jobId: string;
  readonly caller: Requester;
  readonly correlationId: string;
  /** Default: the gateway decides what is new enough. */
  readonly directives?: CacheDirectives;
  /** How long the caller would wait for slots, in milliseconds; never more than everyone does, which is the default. */
  readonly patienceMs?: number | undefined;
  /** The trace that it is part of. */
  readonly trace?: Trace | undefined;
  /** Its signal aborts when the caller goes away. */
  readonly cancellation: Cancellation;
}

/** Who would not wait at all waits for as long as a free slot takes to be had, in milliseconds. */
const LEAST_PATIENCE_MS = 50;
const WHATEVER: CacheDirectives = { maxAgeMs: Infinity, onlyIfCached: false };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isJobId(id: string): boolean {
  return UUID.test(id);
}

/** The face of everything upstream: one job, read as the way of a read says. */
export class JobReads {
  /** @param patienceMs longest wait for slots */
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
  peekFresh(jobId: string, caller: Requester, directives = WHATEVER): JobResult | undefined {
    const askedAt = performance.now();
    const read = { jobId: jobId.toLowerCase(), directives, askedAt };
    const fresh = freshInMemory(this.copies, read, this.lifetimes, askedAt);
    return fresh && visibleTo(caller, fresh);
  }

  /** @throws {GatewayError} as contract section 4 has it; `CallerGone` */
  read({
    jobId,
    caller,
    correlationId,
    directives = WHATEVER,
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

  /** Tells of each newer copy of a job that comes to be held here, whoever has read it. @returns what ends it */
  watch(jobId: string, listener: CopyListener): () => void {
    return this.copies.watch(jobId, listener);
  }
}
