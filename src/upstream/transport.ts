import type { Readable } from 'node:stream';
import type { HttpService } from '@nestjs/axios';
import type { AxiosResponse } from 'axios';
import { GatewayError } from '../errors/gateway-error.ts';
import { CallerGone } from '../errors/caller-gone.ts';
import { codeOf, safeCause } from '../errors/cause.ts';
import { readBody, readWords, TooLarge } from './answer-body.ts';
import type { SharedRead, ReadResult, CallOutcome } from './exchange.ts';
import { interpret, type Reply, callOutcomeOf } from './interpret.ts';
import { JOBS_PATH, LARGEST_BODY, MEDIA_TYPE } from './itwin-api.ts';
import { UpstreamFailure } from './upstream-failure.ts';
import { telling } from './written.ts';

export interface TransportOptions {
  readonly apiUrl: string;
  /** Longest call, its body included, in milliseconds. */
  readonly timeoutMs: number;
  /** Told how each call ended and how long it took, in milliseconds. */
  readonly onCall?: (status: CallOutcome['status'], tookMs: number) => void;
  /** Told of each call that brought no whole answer. */
  readonly onBroken?: (call: BrokenCall) => void;
}

/** A call that got no answer, or not all of one. */
export interface BrokenCall {
  readonly read: Pick<SharedRead, 'jobId' | 'correlationId' | 'trace'>;
  readonly upstream: CallOutcome;
  readonly tookMs: number;
}

/** One HTTP call for one job: no redirects, no retries, bounded in time and bytes, the bytes kept as they came. */
export function transport(http: HttpService, { apiUrl, timeoutMs, onCall, onBroken }: TransportOptions) {
  return async (read: SharedRead, token: string): Promise<ReadResult> => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([read.cancellation.signal, timeout]);
    const since = performance.now();
    const ended = (status: CallOutcome['status']): void => onCall?.(status, performance.now() - since);
    const broken = (failure: UpstreamFailure): UpstreamFailure => {
      onBroken?.({ read, upstream: failure.call.outcome, tookMs: performance.now() - since });
      return failure;
    };
    // Node tells the request, not the body, what its parser found wrong in a body: that is merely cut off then.
    let parserError: Error | undefined;
    const onError = (error: Error): void => {
      parserError = error;
    };
    const url = `${apiUrl}${JOBS_PATH}/${read.jobId}`;
    const response = await send(http, url, read, token, { signal, onError }).catch((error: unknown) => {
      if (read.cancellation.signal.aborted) {
        ended('cancelled');
        throw new CallerGone();
      }
      const failure = timeout.aborted ? timedOut(timeout) : notReached(error);
      ended(failure.call.outcome.status);
      throw broken(failure);
    });
    const head = headOf(response);
    ended(head.status);
    const body = await bodyOf(response.data, head, signal).catch((error: unknown) => {
      if (read.cancellation.signal.aborted) throw new CallerGone();
      throw broken(timeout.aborted ? timedOut(timeout) : cutShort(head, error, parserError));
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
    transport: telling({ onRequestSent, onError }),
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

/** A job whole, or the words of an error that come soon. */
async function bodyOf(
  stream: Readable,
  { status }: Pick<Reply, 'status'>,
  signal: AbortSignal,
): Promise<Buffer> {
  if (status < 300) return readBody(stream, signal, LARGEST_BODY);
  const words = readWords(stream, signal);
  // These close the gate, and do so now: their words change nothing, and a caller that leaves meanwhile must not either.
  return status === 429 || status === 503 ? Buffer.alloc(0) : words;
}

function timedOut({ reason }: AbortSignal): UpstreamFailure {
  return new UpstreamFailure(
    { kind: 'final', outcome: { status: 'timeout' } },
    GatewayError.of('UpstreamTimeout', { cause: safeCause(reason) }),
  );
}

/** The client's own error holds the request, and so the token: only its code goes on. */
function notReached(error: unknown): UpstreamFailure {
  const message = 'The API could not be reached, or broke the connection.';
  const cause = safeCause(error);
  return new UpstreamFailure(
    { kind: 'transient', outcome: { status: 'connection', ...codeIn(cause) } },
    GatewayError.of('UpstreamError', { message, cause }),
  );
}

function cutShort(head: Omit<Reply, 'body'>, error: unknown, parserError?: Error): UpstreamFailure {
  const isTooLarge = error instanceof TooLarge;
  const why = isTooLarge ? 'is too large' : 'was cut off';
  const message = `The answer of the API ${why}.`;
  const cause = isTooLarge ? error : safeCause(parserError ?? error);
  return new UpstreamFailure(
    { kind: 'final', outcome: { ...callOutcomeOf(head), ...codeIn(cause) } },
    GatewayError.of('InvalidUpstreamResponse', { message, cause }),
  );
}

function codeIn(cause: Error): Pick<CallOutcome, 'code'> {
  const code = codeOf(cause);
  return code === undefined ? {} : { code };
}

/** An error that quotes the token it was sent would carry it to the caller: it is taken out where it comes in. */
function withoutToken(body: Buffer, status: number, token: string): Buffer {
  if (status < 300 || !body.includes(token)) return body;
  return Buffer.from(body.toString().replaceAll(token, '[redacted]'));
}
