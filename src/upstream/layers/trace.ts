import { CallerGone } from '../../errors/caller-gone.ts';
import { codeOf } from '../../errors/cause.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { TracedCall, Tracing } from '../../tracing/tracing.ts';
import type { JobReader, SharedRead, Layer, Send, CallOutcome } from '../exchange.ts';
import { JOBS_PATH } from '../itwin-api.ts';
import { type IssuedToken, TokenFailure } from '../token-endpoint.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/** Begins a trace for reads without one: these are the gateway's own polls. */
export function tracePolls(tracing: Tracing): (next: JobReader) => JobReader {
  return (next) => async (read) => {
    // A read of copies alone makes no call.
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

/** A span for each wait in the queue: until the call is sent, or there is none. */
export const traceWaits: Layer<SharedRead> = (next) => async (read) => {
  const endSpan = read.trace?.wait();
  if (!endSpan) return next(read);
  const unobserve = read.state.observe({
    onPhase: (phase) => {
      if (phase === 'called') endSpan(true);
    },
  });
  try {
    return await next(read);
  } finally {
    unobserve();
    endSpan(false);
  }
};

/** A span for each call until its whole answer is read. The trace context goes along in the call's header. */
export function traceCalls(apiUrl: string, send: Send): Send {
  return async (read, token) => {
    const call = read.trace?.call(`${apiUrl}${JOBS_PATH}/${read.jobId}`);
    if (!call) return send(read, token);
    try {
      const found = await send({ ...read, headers: call.headers }, token);
      // A missing job is an answer to the read, but a 404 to the call.
      endCall(call, found.upstream, found.copy.kind === 'missing' ? '404' : undefined);
      return found;
    } catch (error) {
      if (error instanceof UpstreamFailure) endCall(call, error.call.outcome, failureOf(error));
      else call.end({ failure: error instanceof CallerGone ? 'cancelled' : nameOf(error) });
      throw error;
    }
  };
}

/** A span for each token request. */
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

/** The status, or why there is none; for a 2xx that was not usable, the error code that the caller gets. */
function failureOf({ call: { outcome }, body }: UpstreamFailure): string {
  const isSuccess = typeof outcome.status === 'number' && outcome.status < 300;
  return isSuccess ? body.code : String(outcome.status);
}

function nameOf(error: unknown): string {
  if (error instanceof GatewayError) return error.body.code;
  return error instanceof Error ? error.name : 'unknown';
}
