import type { FastifyInstance, onRequestHookHandler } from 'fastify';
import { JOBS_PATH } from '../upstream/itwin-api.ts';

/**
 * Runs a hook on every read of a job, after the hooks added before it, and on no other route. Call it before routes are
 * added.
 */
export function addJobReadHook(fastify: FastifyInstance, hook: onRequestHookHandler): void {
  fastify.addHook('onRoute', (route) => {
    if (route.url !== `${JOBS_PATH}/:id` || !['GET', 'HEAD'].includes(String(route.method))) return;
    route.onRequest = [route.onRequest ?? [], hook].flat();
  });
}
