import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { GatewayError } from '../errors/gateway-error.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { ReadTrace, Tracing } from '../tracing/tracing.ts';
import type { CallOutcome } from '../upstream/exchange.ts';
import { isJobId } from '../upstream/job-reads.ts';
import { UpstreamFailure } from '../upstream/upstream-failure.ts';
import { addJobReadHook } from './job-read-hook.ts';

declare module 'fastify' {
  interface FastifyRequest {
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
    // `close` also comes when the caller goes away, unlike Fastify's own hook.
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
  if (status < 400 && request.readResult?.source !== 'upstream') return;
  const upstream = callOutcomeOf(request);
  log[status >= 500 ? 'warn' : 'info'](
    {
      jobId: jobIdOf(request),
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

function endTrace(request: FastifyRequest, status: number, outcome: string): void {
  request.trace?.end({
    status: status === CLIENT_CLOSED_REQUEST ? undefined : status,
    outcome,
    caller: request.caller?.name ?? '',
    correlationId: request.id,
    jobId: jobIdOf(request),
  });
}

/** The job that an authenticated caller asked for. Only a UUID is safe in a log line. */
function jobIdOf({ caller, params }: FastifyRequest): string | undefined {
  const { id } = params as { readonly id: string };
  return caller && isJobId(id) ? id.toLowerCase() : undefined;
}

/** The caller closed its connection before it was answered. The number is nginx's: the standards have none. */
const CLIENT_CLOSED_REQUEST = 499;

function outcomeOf({ readResult, failure }: FastifyRequest, status: number): string {
  if (status === CLIENT_CLOSED_REQUEST) return 'gone';
  // A caller that accepts a copy alone has got what it asked for.
  if (failure instanceof GatewayError && failure.body.code === 'NotCached') return 'not-cached';
  if (status === 429) return 'refused';
  // An unknown job is no fault of the gateway: no alert should fire.
  if (status === 404) return 'not-found';
  if (status >= 400 || !readResult) return 'error';
  return readResult.stale ?? (readResult.collapsed ? 'collapsed' : readResult.source);
}

function callOutcomeOf({ readResult, failure }: FastifyRequest): CallOutcome | undefined {
  return failure instanceof UpstreamFailure ? failure.call.outcome : readResult?.upstream;
}
