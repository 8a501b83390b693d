import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Budget } from '../budget/budget.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import type { JobResult, ReadResult } from '../upstream/exchange.ts';
import { jobResponse } from './job-response.ts';
import { rateLimitFields } from './rate-limit.ts';

declare module 'fastify' {
  interface FastifyRequest {
    readResult?: ReadResult;
  }
}

/** Answers reads of jobs, whichever way their result was found. */
export class JobResponder {
  /** @param activeFreshMs how long an unfinished job is fresh, in milliseconds */
  constructor(
    private readonly activeFreshMs: number,
    private readonly budget: Pick<Budget, 'state'>,
  ) {}

  /** Sends a job. An answer that went upstream says how much of the quota is left. */
  send(request: FastifyRequest, reply: FastifyReply, result: JobResult): void {
    request.readResult = result;
    const response = jobResponse(result, this.activeFreshMs, request.headers['if-none-match']);
    if (result.source === 'upstream') response.head.push(...Object.entries(this.#quota()).flat());
    reply.sendRaw(response);
  }

  /** Adds the state of the quota to the answer to come, if it is a refusal for lack of quota. */
  addQuota(reply: FastifyReply, error: unknown): void {
    if (error instanceof GatewayError && error.status === 429) void reply.headers(this.#quota());
  }

  #quota(): Record<string, string> {
    return rateLimitFields(this.budget.state());
  }
}
