import type { FastifyInstance, onRequestHookHandler } from 'fastify';
import { JOBS_PATH } from '../upstream/itwin-api.ts';

/** Runs a hook on every read of a job, after those that were added before, and on nothing else. Has to come before the routes. */
export function addJobReadHook(fastify: FastifyInstance, hook: onRequestHookHandler): void {
  fastify.addHook('onRoute', (route) => {
    if (route.url !== `${JOBS_PATH}/:id` || !['GET', 'HEAD'].includes(String(route.method))) return;
    route.onRequest = [route.onRequest ?? [], hook].flat();
  });
}
