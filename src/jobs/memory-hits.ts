import type { FastifyInstance } from 'fastify';
import type { Authenticator } from '../callers/caller.ts';
import type { JobReads } from '../upstream/job-reads.ts';
import { parseCacheDirectives } from './cache-directives.ts';
import { addJobReadHook } from './job-read-hook.ts';
import type { JobResponder } from './job-responder.ts';

export interface MemoryHitOptions {
  readonly authenticator: Pick<Authenticator, 'cached'>;
  readonly reads: Pick<JobReads, 'peekFresh'>;
  readonly responder: JobResponder;
}

/**
 * Answers hits in memory before Nest is involved: its guards, parameters and promises cost as much as all else.
 * All other reads go to the controller: if the credential is not cached, the id is not a UUID, or the copy is stale,
 * elsewhere or not for this caller.
 */
export function serveMemoryHits(
  fastify: FastifyInstance,
  { authenticator, reads, responder }: MemoryHitOptions,
): void {
  addJobReadHook(fastify, (request, reply, done) => {
    const { headers } = request;
    const { id } = request.params as { readonly id: string };
    const caller = authenticator.cached(headers.authorization);
    const result = caller && reads.peekFresh(id, caller, parseCacheDirectives(headers['cache-control']));
    if (!result) {
      done();
      return;
    }
    request.caller = caller;
    responder.send(request, reply, result);
  });
}
