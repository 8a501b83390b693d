import { Controller, Get, Head, Inject, Param, Req, Res, UseGuards } from '@nestjs/common';
import { type Budget, BUDGET } from '../budget/budget.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CallerGuard } from '../callers/caller.guard.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { JOBS_PATH } from '../upstream/itwin-api.ts';
import { isJobId, JobReads } from '../upstream/job-reads.ts';
import { answerJob } from './job-answer.ts';
import { rateLimitFields } from './rate-limit.ts';
import { waitOf, wantsOf } from './wants.ts';

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
    const { caller } = request;
    if (!caller) throw new Error('the guard lets nobody in without a name');
    // An id that can be no job's is answered as one that is nobody's: no call is spent on it.
    if (!isJobId(id)) throw GatewayError.of('JobNotFound');
    request.jobId = id.toLowerCase();
    const patienceMs = waitOf(request.headers['prefer']);
    const found = await this.reads
      .read({
        jobId: id,
        caller,
        correlationId: request.id,
        wants: wantsOf(request.headers['cache-control']),
        ...(patienceMs !== undefined && { patienceMs }),
        ...(request.trace && { trace: request.trace }),
        signal: untilGone(reply),
      })
      .catch((error: unknown) => {
        // Refused for lack of quota, the caller learns how it stands with that.
        if (error instanceof GatewayError && error.status === 429) this.#tellQuota(reply);
        throw error;
      });
    request.found = found;
    if (found.source === 'upstream') this.#tellQuota(reply);
    if (found.copy.kind !== 'job') throw GatewayError.of('JobNotFound');
    const { status, headers, body } = answerJob(
      found,
      found.copy,
      this.activeFreshMs,
      request.headers['if-none-match'],
    );
    await reply.status(status).headers(headers).send(body);
  }

  #tellQuota(reply: FastifyReply): void {
    void reply.headers(rateLimitFields(this.budget.state()));
  }
}

/** Aborts when the caller's connection closes before its answer was sent. */
function untilGone({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort();
  });
  return gone.signal;
}
