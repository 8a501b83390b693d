import { CallerGone } from '../../errors/caller-gone.ts';
import { codeOf } from '../../errors/cause.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { TracedCall, Tracing } from '../../tracing/tracing.ts';
import type { JobReader, SharedRead, Layer, Send, CallOutcome } from '../exchange.ts';
import { JOBS_PATH } from '../itwin-api.ts';
import { type IssuedToken, TokenFailure } from '../token-endpoint.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/** A read that is part of no trace is the gateway's own: it begins one. */
export function tracePolls(tracing: Tracing): (next: JobReader) => JobReader {
  return (next) => async (read) => {
    // A look at what is held goes nowhere.
    if (read.trace || read.directives.onlyIfCached) return next(read);
    const trace = tracing.poll(read.jobId);
    try {
      const found = await next({ ...read, trace });
      trace.end();
      return found;
    } catch (error) {
      if (error instanceof GatewayError && error.status === 404) trace.end({ outcome: 'not-found' });
      else trace.end(error instanceof CallerGone ? {} : { failure: nameOf(error) });
      throw error;
    }
  };
}

/** Tells of the wait for a slot, around the queue: it ends when the read is sent, or when there was none for it. */
export const traceWaits: Layer<SharedRead> = (next) => async (read) => {
  const ended = read.trace?.wait();
  if (!ended) return next(read);
  const onSent = (): void => {
    ended(true);
    read.onSent();
  };
  try {
    return await next({ ...read, onSent });
  } finally {
    ended(false);
  }
};

/** Tells of each call until its whole answer was read, and sends the trace along. */
export function traceCalls(apiUrl: string, send: Send): Send {
  return async (read, token) => {
    const call = read.trace?.call(`${apiUrl}${JOBS_PATH}/${read.jobId}`);
    if (!call) return send(read, token);
    try {
      const found = await send({ ...read, headers: call.headers }, token);
      // That there is no such job is an answer, but to a call it is a 404.
      endCall(call, found.upstream, found.copy.kind === 'missing' ? '404' : undefined);
      return found;
    } catch (error) {
      if (error instanceof UpstreamFailure) endCall(call, error.call.outcome, failureOf(error));
      else call.end({ failure: error instanceof CallerGone ? 'cancelled' : nameOf(error) });
      throw error;
    }
  };
}

/** Tells of each request for a token. */
export function traceTokens(tracing: Tracing, url: string, request: () => Promise<IssuedToken>) {
  return async (): Promise<IssuedToken> => {
    const call = tracing.tokenRequest(url);
    try {
      const token = await request();
      call.end({ status: 200 });
      return token;
    } catch (error) {
      call.end({ failure: error instanceof TokenFailure ? error.kind : nameOf(error), code: codeOf(error) });
      throw error;
    }
  };
}

function endCall(call: TracedCall, outcome: CallOutcome | undefined, failure?: string): void {
  const status = typeof outcome?.status === 'number' ? outcome.status : undefined;
  call.end({ status, failure, code: outcome?.code, correlationId: outcome?.correlationId });
}

/** The status, or why there is none; of a success that was none, what the caller is told. */
function failureOf({ call: { outcome }, body }: UpstreamFailure): string {
  const isSuccess = typeof outcome.status === 'number' && outcome.status < 300;
  return isSuccess ? body.code : String(outcome.status);
}

function nameOf(error: unknown): string {
  if (error instanceof GatewayError) return error.body.code;
  return error instanceof Error ? error.name : 'unknown';
}
