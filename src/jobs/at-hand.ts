import type { FastifyInstance, onRequestHookHandler } from 'fastify';
import type { Authenticator } from '../callers/caller.ts';
import type { JobReads } from '../upstream/job-reads.ts';
import { answerJob } from './job-answer.ts';
import { onReads } from './on-reads.ts';
import { wantsOf } from './wants.ts';

export interface AtHandOptions {
  readonly authenticator: Pick<Authenticator, 'remembered'>;
  readonly reads: Pick<JobReads, 'atHand'>;
  /** How long an unfinished job is fresh, in milliseconds. */
  readonly activeFreshMs: number;
}

/**
 * Answers what is at hand before Nest is asked: its guards, parameters and promises cost as much as all else that a hit takes.
 * Whatever needs more than a look (a caller who is not remembered, a copy that is stale, elsewhere or not for this caller, an id that is
 * none) goes on to the controller, which would answer the same.
 */
export function answerAtHand(
  fastify: FastifyInstance,
  { authenticator, reads, activeFreshMs }: AtHandOptions,
): void {
  const look: onRequestHookHandler = (request, reply, done) => {
    const { headers } = request;
    const { id } = request.params as { readonly id: string };
    const caller = authenticator.remembered(headers.authorization);
    const found = caller && reads.atHand(id, caller, wantsOf(headers['cache-control']));
    if (!found) {
      done();
      return;
    }
    request.caller = caller;
    request.jobId = id.toLowerCase();
    request.found = found;
    reply.sendWhole(answerJob(found, activeFreshMs, headers['if-none-match']));
  };
  onReads(fastify, look);
}
