import type { FastifyHttpOptions, FastifyReply, RawServerDefault } from 'fastify';
import { toErrorResponse } from '../errors/error-response.ts';
import { correlationId } from './correlation-id.ts';
import { setCommonHeaders } from './common-headers.ts';

/** Longest head of a request, its URL included, in bytes. */
const LARGEST_HEAD = 16 * 1024;
/** Longest that a head, and a whole request, may take to arrive, in milliseconds. */
const HEAD_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** How often those are looked at. */
const CHECK_EVERY_MS = 1000;
/** How long an idle connection is kept: longer than the minute that ingresses keep theirs, so that they close first. */
const KEEP_ALIVE_MS = 75_000;

/** How much longer than the longest read a connection may be without a byte either way, in milliseconds. */
const SILENCE_MS = 15_000;

/**
 * How the HTTP server behaves before any route is reached.
 * @param longestReadMs how long a request may be without an answer, in milliseconds
 */
export function serverOptions(longestReadMs: number) {
  return {
    logger: false,
    genReqId: (request) => correlationId(request.headers['x-correlation-id']),
    rewriteUrl: (request) => routable(request.url ?? '/'),
    // What the router cannot make out at all never reaches a filter.
    frameworkErrors: (error, _request, reply: FastifyReply) => {
      const { status, headers, body } = toErrorResponse(error);
      setCommonHeaders(reply, false);
      void reply.status(status).headers(headers).send(Buffer.from(body));
    },
    // Whoever still has a connection while the server closes is served; idle connections are closed.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Of an answer that nobody reads as well.
    connectionTimeout: longestReadMs + SILENCE_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: LARGEST_HEAD },
    http: {
      maxHeaderSize: LARGEST_HEAD,
      headersTimeout: HEAD_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_EVERY_MS,
      // Node would answer a missing one with an empty 400: `server-hooks.ts` does it in the envelope.
      requireHostHeader: false,
    },
  } satisfies FastifyHttpOptions<RawServerDefault>;
}

/**
 * A request target as the router takes it: without the origin of an absolute one (RFC 9112 section 3.2.2), and with a percent
 * sign that begins no escape standing for itself. The path is then one that nobody knows, not an error.
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
