import type { ServerResponse } from 'node:http';
import { Controller, Get, Head, Inject, Param, Req, Res, UseGuards } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CallerGuard, callerOf } from '../callers/caller.guard.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import type { Cancellation } from '../upstream/exchange.ts';
import { JOBS_PATH } from '../upstream/itwin-api.ts';
import { isJobId, JobReads } from '../upstream/job-reads.ts';
import { parsePreferWait, parseCacheDirectives } from './cache-directives.ts';
import { JobResponder } from './job-responder.ts';

/** Reads of jobs: the same path, body and statuses as the API behind the gateway. */
@Controller(JOBS_PATH)
@UseGuards(CallerGuard)
export class JobsController {
  constructor(
    @Inject(JobReads) private readonly reads: JobReads,
    @Inject(JobResponder) private readonly responder: JobResponder,
  ) {}

  /** Declared before `GET`, for which Fastify would add a HEAD route of its own that gives a 304 a length. */
  @Head(':id')
  head(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.read(id, request, reply);
  }

  @Get(':id')
  async read(
    @Param('id') id: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { headers } = request;
    // An id that cannot be a job's is answered like an unknown one: no call is spent on it.
    if (!isJobId(id)) throw GatewayError.of('JobNotFound');
    const result = await this.reads
      .read({
        jobId: id,
        caller: callerOf(request),
        correlationId: request.id,
        directives: parseCacheDirectives(headers['cache-control']),
        patienceMs: parsePreferWait(headers['prefer']),
        trace: request.trace,
        cancellation: new CallerCancellation(reply.raw),
      })
      .catch((error: unknown) => {
        this.responder.addQuota(reply, error);
        throw error;
      });
    this.responder.send(request, reply, result);
  }
}

/** Its signal aborts when the caller's connection closes before its answer was sent. */
class CallerCancellation implements Cancellation {
  #cancellation: AbortController | undefined;

  constructor(private readonly response: ServerResponse) {}

  get signal(): AbortSignal {
    return (this.#cancellation ??= this.#watch()).signal;
  }

  #watch(): AbortController {
    const cancellation = new AbortController();
    const closed = (): void => {
      if (!this.response.writableFinished) cancellation.abort();
    };
    if (this.response.destroyed) closed();
    else this.response.once('close', closed);
    return cancellation;
  }
}
