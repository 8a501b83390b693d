import { type Exchange, type Found, type Reader } from './exchange.ts';

/** What a caller asks for. */
export interface JobRead {
  /** A UUID, in any letter case. */
  readonly jobId: string;
  readonly caller: Reader;
  readonly correlationId: string;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isJobId(id: string): boolean {
  return UUID.test(id);
}

/** The face of everything upstream: one job, read as the way of a read says. */
export class JobReads {
  /** @param patienceMs longest wait for slots */
  constructor(
    private readonly exchange: Exchange,
    private readonly patienceMs: number,
  ) {}

  /** @throws {GatewayError} as contract section 4 has it; `CallerGone` */
  read({ jobId, caller, correlationId, signal }: JobRead): Promise<Found> {
    return this.exchange({
      jobId: jobId.toLowerCase(),
      caller,
      correlationId,
      signal,
      patienceMs: this.patienceMs,
    });
  }
}
