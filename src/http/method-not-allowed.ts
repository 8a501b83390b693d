import { METHODS } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { GatewayError } from '../errors/gateway-error.ts';

/**
 * Routes all other methods of a path that is only read: 405 with `Allow`, rather than "no such route".
 * @param admit throws, or rejects, for a caller who is to learn nothing, not even that
 * @param allow the methods that have a route of their own
 */
export function allowOnlyReads(
  fastify: FastifyInstance,
  path: string,
  admit: (authorization: string | undefined) => unknown = () => undefined,
  allow = 'GET, HEAD',
): void {
  const others = METHODS.filter((method) => !['GET', 'HEAD', 'CONNECT'].includes(method));
  for (const method of others) {
    if (!fastify.supportedMethods.includes(method)) fastify.addHttpMethod(method, { hasBody: true });
  }
  fastify.route({
    method: others,
    url: path,
    // Before a body is looked at.
    onRequest: async (request) => {
      // An empty parameter makes another path, as it does for the methods that are allowed.
      if (Object.values(request.params as object).includes('')) throw GatewayError.of('NotFound');
      await admit(request.headers.authorization);
      throw GatewayError.of('MethodNotAllowed', { headers: { allow } });
    },
    handler: () => undefined,
  });
}
