import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { GatewayError } from '../errors/gateway-error.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { ReadTrace, Tracing } from '../tracing/tracing.ts';
import type { ReadResult, CallOutcome } from '../upstream/exchange.ts';
import { UpstreamFailure } from '../upstream/upstream-failure.ts';
import { addJobReadHook } from './job-read-hook.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The job that is asked for: set only when it is a UUID, so that it may stand in a log. */
    jobId?: string;
    found?: ReadResult;
    /** Present when there is tracing. */
    trace?: ReadTrace;
  }
}

/** Counts and traces every read of a job when it ends, answered or not, and logs those that went upstream or failed. */
export function recordReads(
  fastify: FastifyInstance,
  metrics: Metrics,
  log: Logger,
  tracing?: Tracing,
): void {
  addJobReadHook(fastify, (request, reply, done) => {
    if (tracing) request.trace = tracing.read(request.method, request.headers);
    // Also comes when the caller goes away, which Fastify's own hook does not tell of.
    reply.raw.on('close', () => {
      record(request, reply, metrics, log);
    });
    done();
  });
}

function record(request: FastifyRequest, reply: FastifyReply, metrics: Metrics, log: Logger): void {
  const status = reply.raw.writableFinished ? reply.statusCode : CLIENT_CLOSED_REQUEST;
  const outcome = outcomeOf(request, status);
  const caller = request.caller?.name ?? '';
  metrics.jobReads.count(outcome, status, caller);
  metrics.jobReadSeconds.observe(reply.elapsedTime / 1000);
  endTrace(request, status, outcome);
  if (status < 400 && request.found?.source !== 'upstream') return;
  const upstream = traceOf(request);
  log[status >= 500 ? 'warn' : 'info'](
    {
      jobId: request.jobId,
      caller,
      status,
      outcome,
      ms: Math.round(reply.elapsedTime),
      correlationId: request.id,
      ...request.trace?.ids,
      ...(upstream && { upstream }),
    },
    'read',
  );
}

function endTrace({ trace, caller, id, jobId }: FastifyRequest, status: number, outcome: string): void {
  trace?.end({
    status: status === CLIENT_CLOSED_REQUEST ? undefined : status,
    outcome,
    caller: caller?.name ?? '',
    correlationId: id,
    jobId,
  });
}

/** Nobody was there to take the answer. The number is nginx's: the standards have none. */
const CLIENT_CLOSED_REQUEST = 499;

function outcomeOf({ found, failure }: FastifyRequest, status: number): string {
  if (status === CLIENT_CLOSED_REQUEST) return 'gone';
  // A caller that wanted a copy or nothing has what it asked for.
  if (failure instanceof GatewayError && failure.body.code === 'NotCached') return 'not-cached';
  if (status === 429) return 'refused';
  // The gateway did what it was asked: nobody is to be woken by it.
  if (status === 404) return 'not-found';
  if (status >= 400) return 'error';
  if (!found) return 'error';
  return found.stale ?? (found.collapsed ? 'collapsed' : found.source);
}

function traceOf({ found, failure }: FastifyRequest): CallOutcome | undefined {
  return failure instanceof UpstreamFailure ? failure.call.outcome : found?.upstream;
}
