import type { FastifyHttpOptions, FastifyReply, RawServerDefault } from 'fastify';
import { toErrorResponse } from '../errors/error-response.ts';
import { correlationId } from './correlation-id.ts';
import { setCommonHeaders } from './common-headers.ts';

/** Largest head of a request, its URL included, in bytes. */
const LARGEST_HEAD = 16 * 1024;
/** How long a head, and a whole request, may take to arrive, in milliseconds. */
const HEAD_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** How often these timeouts are checked. */
const CHECK_EVERY_MS = 1000;
/** How long an idle connection is kept: longer than the minute of ingresses, so that they close first. */
const KEEP_ALIVE_MS = 75_000;

/** How much longer than the longest read a connection may transfer nothing, in milliseconds. */
const SILENCE_MS = 15_000;

/**
 * Options of the HTTP server.
 * @param longestReadMs how long a request may wait for its response, in milliseconds
 */
export function serverOptions(longestReadMs: number) {
  return {
    logger: false,
    genReqId: (request) => correlationId(request.headers['x-correlation-id']),
    rewriteUrl: (request) => routable(request.url ?? '/'),
    // Errors of the router never reach the exception filter.
    frameworkErrors: (error, _request, reply: FastifyReply) => {
      const { status, headers, body } = toErrorResponse(error);
      setCommonHeaders(reply, false);
      void reply.status(status).headers(headers).send(Buffer.from(body));
    },
    // While the server closes, requests on open connections are served and idle connections are closed.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Also ends a response that is not read.
    connectionTimeout: longestReadMs + SILENCE_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: LARGEST_HEAD },
    http: {
      maxHeaderSize: LARGEST_HEAD,
      headersTimeout: HEAD_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_EVERY_MS,
      // Node would answer a missing Host with an empty 400: `server-hooks.ts` answers in the envelope.
      requireHostHeader: false,
    },
  } satisfies FastifyHttpOptions<RawServerDefault>;
}

/**
 * Makes a request target routable: removes the origin of an absolute one (RFC 9112 section 3.2.2), and escapes invalid
 * percent signs, so that such a path is an unknown route rather than an error of the router.
 */
function routable(target: string): string {
  if (target.startsWith('/') && !target.includes('%')) return target;
  const relative = target.replace(/^https?:\/\/[^/?#]*/i, '');
  const url = relative === target || relative.startsWith('/') ? relative : `/${relative}`;
  const query = url.indexOf('?');
  const path = query < 0 ? url : url.slice(0, query);
  try {
    decodeURI(path);
    return url;
  } catch {
    return path.replaceAll('%', '%25') + url.slice(path.length);
  }
}
