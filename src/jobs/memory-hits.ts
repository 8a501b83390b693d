import type { FastifyInstance, onRequestHookHandler } from 'fastify';
import type { Authenticator } from '../callers/caller.ts';
import type { JobReads } from '../upstream/job-reads.ts';
import { jobResponse } from './job-response.ts';
import { addJobReadHook } from './job-read-hook.ts';
import { parseCacheDirectives } from './cache-directives.ts';

export interface MemoryHitOptions {
  readonly authenticator: Pick<Authenticator, 'cached'>;
  readonly reads: Pick<JobReads, 'peekFresh'>;
  /** How long an unfinished job is fresh, in milliseconds. */
  readonly activeFreshMs: number;
}

/**
 * Answers what is at hand before Nest is asked: its guards, parameters and promises cost as much as all else that a hit takes.
 * Whatever needs more than a look (a caller who is not remembered, a copy that is stale, elsewhere or not for this caller, an id that is
 * none) goes on to the controller, which would answer the same.
 */
export function serveMemoryHits(
  fastify: FastifyInstance,
  { authenticator, reads, activeFreshMs }: MemoryHitOptions,
): void {
  const look: onRequestHookHandler = (request, reply, done) => {
    const { headers } = request;
    const { id } = request.params as { readonly id: string };
    const caller = authenticator.cached(headers.authorization);
    const found = caller && reads.peekFresh(id, caller, parseCacheDirectives(headers['cache-control']));
    if (!found) {
      done();
      return;
    }
    request.caller = caller;
    request.jobId = id.toLowerCase();
    request.found = found;
    reply.sendWhole(jobResponse(found, activeFreshMs, headers['if-none-match']));
  };
  addJobReadHook(fastify, look);
}
