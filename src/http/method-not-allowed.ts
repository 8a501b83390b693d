import { METHODS } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { GatewayError } from '../errors/gateway-error.ts';

/**
 * Answers all other methods of a read-only path with 405 and `Allow`.
 * @param admit authenticates the caller first: throws or rejects without a valid credential
 * @param allow the methods that have a route
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
    // A hook, so that no body is read.
    onRequest: async (request) => {
      // An empty parameter is no such route, as for the allowed methods.
      if (Object.values(request.params as object).includes('')) throw GatewayError.of('NotFound');
      await admit(request.headers.authorization);
      throw GatewayError.of('MethodNotAllowed', { headers: { allow } });
    },
    handler: () => undefined,
  });
}
