import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { toErrorResponse } from './error-response.ts';
import { CallerGone } from './caller-gone.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The error that the request ended with. */
    failure?: unknown;
  }
}

/** The log for unexpected errors. */
export interface FaultLog {
  error(details: { err: unknown; correlationId: string }, message: string): void;
}

/** The only exception filter: sends every error of every route in the envelope (docs/CONTRACT.md, section 4). */
@Catch()
export class EnvelopeFilter implements ExceptionFilter {
  constructor(private readonly log: FaultLog) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    reply.request.failure = thrown;
    if (thrown instanceof CallerGone) return;
    const answer = toErrorResponse(thrown);
    if (answer.unexpected)
      this.log.error(
        { err: thrown, correlationId: reply.request.id, ...reply.request.trace?.ids },
        'unexpected error',
      );
    if (reply.sent || reply.raw.destroyed) return;
    // As bytes: Fastify would add a charset to a string, which JSON does not have.
    void reply.status(answer.status).headers(answer.headers).send(Buffer.from(answer.body));
  }
}
