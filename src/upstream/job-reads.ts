import type { Copies, CopyListener } from './copies.ts';
import type { Trace } from '../tracing/tracing.ts';
import type { JobReader, JobResult, Cancellation, Requester, CacheDirectives } from './exchange.ts';
import type { Lifetimes } from './freshness.ts';
import { cacheHit, satisfies } from './layers/refresh.ts';
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
   * What `read` would answer without anything to wait for: a fresh copy of this process' own that the caller may see. Nothing
   * when it takes more than a look to know.
   * @param jobId in any letter case
   */
  peekFresh(jobId: string, caller: Requester, directives = WHATEVER): JobResult | undefined {
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
