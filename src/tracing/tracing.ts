/** W3C Trace Context ids, which log lines contain. */
export interface TraceIds {
  readonly traceId: string;
  readonly spanId: string;
}

/** How a call ended. */
export interface CallEnd {
  /** Status of the response, if there was one. */
  readonly status?: number | undefined;
  /** Kind of failure; absent on success. */
  readonly failure?: string | undefined;
  /** Code of the cause, such as `ECONNREFUSED`. */
  readonly code?: string | undefined;
  /** Upstream's correlation id. */
  readonly correlationId?: string | undefined;
}

/** A call in progress to another service. */
export interface TracedCall {
  /** Header fields that propagate the trace. */
  readonly headers: Readonly<Record<string, string>>;
  end(end: CallEnd): void;
}

/** The trace of a read in progress, as the upstream layers use it. */
export interface Trace {
  readonly ids: TraceIds;
  /** A wait for a slot begins. @returns ends it; the first call counts */
  wait(): (found: boolean) => void;
  /** An upstream call begins. */
  call(url: string): TracedCall;
  /** Another read's call answers this one as well. */
  joins(other: Trace): void;
}

/** How a poll ended; with neither: a copy was found, or the poll was cancelled. */
export interface PollEnd {
  readonly outcome?: 'not-found';
  /** Kind of failure. */
  readonly failure?: string;
}

/** The trace of a poll of a job, by the gateway itself. */
export interface PollTrace extends Trace {
  end(end?: PollEnd): void;
}

/** The end of a caller's read, without secrets. */
export interface ReadEnd {
  /** Absent when the caller disconnected before the response. */
  readonly status: number | undefined;
  readonly outcome: string;
  readonly caller: string;
  readonly correlationId: string;
  /** Absent when it is not a valid job id. */
  readonly jobId: string | undefined;
}

/** The trace of a caller's read. */
export interface ReadTrace extends Trace {
  end(end: ReadEnd): void;
}

/** Creates traces. Without a collector there is no instance, so that tracing costs a read nothing. */
export interface Tracing {
  /** A caller's read begins. @param headers of the request; continues the trace that they contain */
  read(method: string, headers: Readonly<Record<string, string | string[] | undefined>>): ReadTrace;
  /** A poll of a job begins, for its event streams. */
  poll(jobId: string): PollTrace;
  /** A token request begins. It serves all reads, so it has a trace of its own. */
  tokenRequest(url: string): TracedCall;
  /** Exports the remaining spans, within a bounded time. Never rejects. */
  end(): Promise<void>;
}
