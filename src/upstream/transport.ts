import type { Readable } from 'node:stream';
import type { HttpService } from '@nestjs/axios';
import type { AxiosResponse } from 'axios';
import { GatewayError } from '../errors/gateway-error.ts';
import { CallerGone } from '../errors/caller-gone.ts';
import { codeOf, safeCause } from '../errors/cause.ts';
import { readBody, readErrorBody, BodyTooLarge } from './response-body.ts';
import type { SharedRead, ReadResult, CallOutcome } from './exchange.ts';
import { interpret, type Reply, callOutcomeOf } from './interpret.ts';
import { JOBS_PATH, MAX_BODY_BYTES, MEDIA_TYPE } from './itwin-api.ts';
import { UpstreamFailure } from './upstream-failure.ts';
import { observedTransport } from './observed-transport.ts';

export interface TransportOptions {
  readonly apiUrl: string;
  /** Longest call, including the body, in milliseconds. */
  readonly timeoutMs: number;
  /** Receives the status of each call and its duration in milliseconds. */
  readonly onCall?: (status: CallOutcome['status'], tookMs: number) => void;
  /** Receives each call without a complete response. */
  readonly onBroken?: (call: BrokenCall) => void;
}

/** A call without a complete response. */
export interface BrokenCall {
  readonly read: Pick<SharedRead, 'jobId' | 'correlationId' | 'trace'>;
  readonly upstream: CallOutcome;
  readonly tookMs: number;
}

/** One HTTP call for one job: no redirects, no retries, bounded in time and bytes. The bytes of the body are kept. */
export function transport(http: HttpService, { apiUrl, timeoutMs, onCall, onBroken }: TransportOptions) {
  return async (read: SharedRead, token: string): Promise<ReadResult> => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([read.cancellation.signal, timeout]);
    const since = performance.now();
    const reportStatus = (status: CallOutcome['status']): void => onCall?.(status, performance.now() - since);
    const reportBroken = (failure: UpstreamFailure): UpstreamFailure => {
      onBroken?.({ read, upstream: failure.call.outcome, tookMs: performance.now() - since });
      return failure;
    };
    // Node reports a parser error in a body to the request; the body stream is only cut off.
    let parserError: Error | undefined;
    const onError = (error: Error): void => {
      parserError = error;
    };
    const url = `${apiUrl}${JOBS_PATH}/${read.jobId}`;
    const response = await send(http, url, read, token, { signal, onError }).catch((error: unknown) => {
      if (read.cancellation.signal.aborted) {
        reportStatus('cancelled');
        throw new CallerGone();
      }
      const failure = timeout.aborted ? timedOut(timeout) : unreachable(error);
      reportStatus(failure.call.outcome.status);
      throw reportBroken(failure);
    });
    const head = headOf(response);
    reportStatus(head.status);
    const body = await readResponseBody(response.data, head, signal).catch((error: unknown) => {
      if (read.cancellation.signal.aborted) throw new CallerGone();
      throw reportBroken(timeout.aborted ? timedOut(timeout) : incomplete(head, error, parserError));
    });
    const reply: Reply = { ...head, body: withoutToken(body, head.status, token) };
    return {
      copy: interpret(read.jobId, reply, since),
      source: 'upstream',
      collapsed: false,
      upstream: callOutcomeOf(reply),
    };
  };
}

function send(
  http: HttpService,
  url: string,
  { correlationId, headers, onRequestSent }: SharedRead,
  token: string,
  { signal, onError }: { readonly signal: AbortSignal; readonly onError: (error: Error) => void },
): Promise<AxiosResponse<Readable>> {
  return http.axiosRef.get<Readable>(url, {
    headers: {
      ...headers,
      authorization: `Bearer ${token}`,
      accept: MEDIA_TYPE,
      'x-correlation-id': correlationId,
    },
    responseType: 'stream',
    transport: observedTransport({ onRequestSent, onError }),
    signal,
  });
}

function headOf({ status, headers }: AxiosResponse<Readable>): Omit<Reply, 'body'> {
  const field = (name: string): string | undefined => {
    const value: unknown = headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  return {
    status,
    contentType: field('content-type'),
    correlationId: field('x-correlation-id'),
    retryAfter: field('retry-after'),
    date: field('date'),
  };
}

/** Reads the body: of a job completely, of an error as far as it arrives soon. */
async function readResponseBody(
  stream: Readable,
  { status }: Pick<Reply, 'status'>,
  signal: AbortSignal,
): Promise<Buffer> {
  if (status < 300) return readBody(stream, signal, MAX_BODY_BYTES);
  const body = readErrorBody(stream, signal);
  // These close the gate, at once: neither their body nor a caller that leaves meanwhile changes that.
  return status === 429 || status === 503 ? Buffer.alloc(0) : body;
}

function timedOut({ reason }: AbortSignal): UpstreamFailure {
  return new UpstreamFailure(
    { kind: 'final', outcome: { status: 'timeout' } },
    GatewayError.of('UpstreamTimeout', { cause: safeCause(reason) }),
  );
}

/** The client's error contains the request, and thus the token: only its code is kept. */
function unreachable(error: unknown): UpstreamFailure {
  const message = 'The API could not be reached, or broke the connection.';
  const cause = safeCause(error);
  return new UpstreamFailure(
    { kind: 'transient', outcome: { status: 'connection', ...outcomeCode(cause) } },
    GatewayError.of('UpstreamError', { message, cause }),
  );
}

function incomplete(head: Omit<Reply, 'body'>, error: unknown, parserError?: Error): UpstreamFailure {
  const isTooLarge = error instanceof BodyTooLarge;
  const why = isTooLarge ? 'is too large' : 'was cut off';
  const message = `The answer of the API ${why}.`;
  const cause = isTooLarge ? error : safeCause(parserError ?? error);
  return new UpstreamFailure(
    { kind: 'final', outcome: { ...callOutcomeOf(head), ...outcomeCode(cause) } },
    GatewayError.of('InvalidUpstreamResponse', { message, cause }),
  );
}

function outcomeCode(cause: Error): Pick<CallOutcome, 'code'> {
  const code = codeOf(cause);
  return code === undefined ? {} : { code };
}

/** Redacts the token in an error that quotes it, before the error can reach a caller. */
function withoutToken(body: Buffer, status: number, token: string): Buffer {
  if (status < 300 || !body.includes(token)) return body;
  return Buffer.from(body.toString().replaceAll(token, '[redacted]'));
}
