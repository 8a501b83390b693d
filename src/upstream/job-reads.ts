import type { Copies, CopyListener } from './copies.ts';
import type { Trace } from '../tracing/tracing.ts';
import type { Face, FoundJob, Gone, Reader, Wants } from './exchange.ts';
import type { Lifetimes } from './freshness.ts';
import { hit, suits } from './layers/refresh.ts';
import { sees } from './layers/visible.ts';

/** What a caller asks for. */
export interface JobRead {
  /** A UUID, in any letter case. */
  readonly jobId: string;
  readonly caller: Reader;
  readonly correlationId: string;
  /** Default: the gateway decides what is new enough. */
  readonly wants?: Wants;
  /** How long the caller would wait for slots, in milliseconds; never more than everyone does, which is the default. */
  readonly patienceMs?: number | undefined;
  /** The trace that it is part of. */
  readonly trace?: Trace | undefined;
  /** Its signal aborts when the caller goes away. */
  readonly gone: Gone;
}

/** Who would not wait at all waits for as long as a free slot takes to be had, in milliseconds. */
const LEAST_PATIENCE_MS = 50;
const WHATEVER: Wants = { maxAgeMs: Infinity, onlyIfCached: false };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isJobId(id: string): boolean {
  return UUID.test(id);
}

/** The face of everything upstream: one job, read as the way of a read says. */
export class JobReads {
  /** @param patienceMs longest wait for slots */
  constructor(
    private readonly exchange: Face,
    private readonly copies: Pick<Copies, 'watch' | 'inMemory'>,
    private readonly lifetimes: Lifetimes,
    private readonly patienceMs: number,
  ) {}

  /**
   * What `read` would answer without anything to wait for: a fresh copy of this process' own that the caller may see. Nothing
   * when it takes more than a look to know.
   * @param jobId in any letter case
   */
  atHand(jobId: string, caller: Reader, wants = WHATEVER): FoundJob | undefined {
    const held = this.copies.inMemory(jobId.toLowerCase());
    const askedAt = performance.now();
    if (!held || !suits(held, { wants, askedAt }, this.lifetimes, askedAt)) return undefined;
    return sees(caller, hit(held));
  }

  /** @throws {GatewayError} as contract section 4 has it; `CallerGone` */
  read({
    jobId,
    caller,
    correlationId,
    wants = WHATEVER,
    patienceMs = Infinity,
    trace,
    gone,
  }: JobRead): Promise<FoundJob> {
    return this.exchange({
      jobId: jobId.toLowerCase(),
      caller,
      correlationId,
      gone,
      wants,
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
