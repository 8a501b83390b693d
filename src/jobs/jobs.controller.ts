import type { ServerResponse } from 'node:http';
import { Controller, Get, Head, Inject, Param, Req, Res, UseGuards } from '@nestjs/common';
import { type Budget, BUDGET } from '../budget/budget.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CallerGuard } from '../callers/caller.guard.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import type { Cancellation } from '../upstream/exchange.ts';
import { JOBS_PATH } from '../upstream/itwin-api.ts';
import { isJobId, JobReads } from '../upstream/job-reads.ts';
import { jobResponse } from './job-response.ts';
import { rateLimitFields } from './rate-limit.ts';
import { parsePreferWait, parseCacheDirectives } from './cache-directives.ts';

export const ACTIVE_FRESH_MS = Symbol('how long an unfinished job is fresh, in milliseconds');

/** The product's face: the same path, body and statuses as the API behind it. */
@Controller(JOBS_PATH)
@UseGuards(CallerGuard)
export class JobsController {
  constructor(
    @Inject(JobReads) private readonly reads: JobReads,
    @Inject(ACTIVE_FRESH_MS) private readonly activeFreshMs: number,
    @Inject(BUDGET) private readonly budget: Budget,
  ) {}

  /** Stands before `GET`, for which Fastify would make one of its own that gives a 304 a length. */
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
    const { caller, headers } = request;
    if (!caller) throw new Error('the guard lets nobody in without a name');
    // An id that can be no job's is answered as one that is nobody's: no call is spent on it.
    if (!isJobId(id)) throw GatewayError.of('JobNotFound');
    request.jobId = id.toLowerCase();
    const found = await this.reads
      .read({
        jobId: id,
        caller,
        correlationId: request.id,
        directives: parseCacheDirectives(headers['cache-control']),
        patienceMs: parsePreferWait(headers['prefer']),
        trace: request.trace,
        cancellation: new CallerGoing(reply.raw),
      })
      .catch((error: unknown) => {
        // Refused for lack of quota, the caller learns how it stands with that.
        if (error instanceof GatewayError && error.status === 429) void reply.headers(this.#quota());
        throw error;
      });
    request.found = found;
    const answer = jobResponse(found, this.activeFreshMs, headers['if-none-match']);
    if (found.source === 'upstream') answer.head.push(...Object.entries(this.#quota()).flat());
    reply.sendWhole(answer);
  }

  #quota(): Record<string, string> {
    return rateLimitFields(this.budget.state());
  }
}

/** Its signal aborts when the caller's connection closes before its answer was sent. */
class CallerGoing implements Cancellation {
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
