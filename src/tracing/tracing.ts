/** W3C Trace Context: how log lines name the trace that they belong to, and their place in it. */
export interface TraceIds {
  readonly traceId: string;
  readonly spanId: string;
}

/** How a call ended. */
export interface CallEnd {
  /** The status of the answer, when there was one. */
  readonly status?: number | undefined;
  /** What went wrong, in a word; absent: nothing did. */
  readonly failure?: string | undefined;
  /** The code of what caused it, such as `ECONNREFUSED`. */
  readonly code?: string | undefined;
  /** Upstream's own correlation id. */
  readonly correlationId?: string | undefined;
}

/** A call to others that goes on. */
export interface TracedCall {
  /** The header fields by which the one who is called goes on with the trace. */
  readonly headers: Readonly<Record<string, string>>;
  end(end: CallEnd): void;
}

/** A read that goes on, as the way upstream knows it: it waits for slots and makes calls. */
export interface Trace {
  readonly ids: TraceIds;
  /** A wait for a slot begins. @returns what is told of its end; the first time counts */
  wait(): (found: boolean) => void;
  /** A call upstream begins. */
  call(url: string): TracedCall;
  /** What goes on for another answers this one as well. */
  joins(other: Trace): void;
}

/** How a look at a job ended; with neither: a copy was found, or nobody waits for one any more. */
export interface PollEnd {
  readonly outcome?: 'not-found';
  /** What went wrong, in a word. */
  readonly failure?: string;
}

/** A look of the gateway's own at a job. */
export interface PollTrace extends Trace {
  end(end?: PollEnd): void;
}

/** What is known of a caller's read when it has ended. Nothing of it may be a secret. */
export interface ReadEnd {
  /** Absent when the caller went away before it was answered. */
  readonly status: number | undefined;
  readonly outcome: string;
  readonly caller: string;
  readonly correlationId: string;
  /** Absent for what is no job id. */
  readonly jobId: string | undefined;
}

/** A caller's read. */
export interface ReadTrace extends Trace {
  end(end: ReadEnd): void;
}

/**
 * Tells elsewhere what goes on here, and how long it takes. OpenTelemetry does; where tracing is off there is none, and so
 * nothing that a read could cost.
 */
export interface Tracing {
  /** A caller's read begins. @param headers of the request: a trace that it is part of goes on */
  read(method: string, headers: Readonly<Record<string, string | string[] | undefined>>): ReadTrace;
  /** The gateway itself looks at a job, for those who watch it. */
  poll(jobId: string): PollTrace;
  /** A token is asked for: for all who need one, so in a trace of its own. */
  tokenRequest(url: string): TracedCall;
  /** Hands over what is left, within a bounded time. Never rejects. */
  end(): Promise<void>;
}
