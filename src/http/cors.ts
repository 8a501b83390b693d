import type { FastifyInstance, onRequestHookHandler } from 'fastify';

/**
 * The request headers of docs/CONTRACT.md, section 2, and `Content-Type`, which clients of the iTwin APIs send with
 * GET.
 */
const REQUEST_FIELDS = [
  ...['Authorization', 'X-Correlation-Id', 'If-None-Match', 'Cache-Control', 'Prefer', 'Last-Event-ID'],
  'Content-Type',
];
/** W3C Trace Context: sent by pages with tracing, if the preflight allows them. */
const TRACE_FIELDS = ['traceparent', 'tracestate'];
/** The response headers of docs/CONTRACT.md, section 3. `Cache-Control` and `Content-Type` are always readable. */
const RESPONSE_FIELDS = [
  ...['ETag', 'Age', 'Cache-Status', 'RateLimit-Policy', 'RateLimit', 'Retry-After', 'X-Correlation-Id'],
  'WWW-Authenticate',
];
/** How long a browser may cache a preflight, in seconds. */
const MAX_AGE = 3600;

export interface CorsOptions {
  /** Exact origins, or `*` alone. Empty: no page of another origin can read anything. */
  readonly origins: readonly string[];
  /**
   * Route patterns that they may read. Leave out routes that need no key: a page on the web must not read the metrics
   * through a browser inside the network.
   */
  readonly paths: readonly string[];
  /** Whether the gateway continues the traces of its callers. */
  readonly takesTraces: boolean;
}

/**
 * Lets pages of other origins read responses (CORS). Credentials mode is never allowed: callers send their key in a
 * header.
 */
export function allowOrigins(fastify: FastifyInstance, { origins, paths, takesTraces }: CorsOptions): void {
  if (origins.length === 0) return;
  const requestFields = [...REQUEST_FIELDS, ...(takesTraces ? TRACE_FIELDS : [])].join(', ');
  const isForAll = origins.includes('*');
  const allow: onRequestHookHandler = ({ method, headers }, reply, done) => {
    const { origin } = headers;
    // Set on the raw response, so that they are sent whichever way the head is written. `vary`: caches must not reuse
    // the response.
    if (!isForAll) reply.raw.setHeader('vary', 'Origin');
    if (origin === undefined || !(isForAll || origins.includes(origin))) {
      done();
      return;
    }
    reply.raw.setHeader('access-control-allow-origin', isForAll ? '*' : origin);
    reply.raw.setHeader('access-control-expose-headers', RESPONSE_FIELDS.join(', '));
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) {
      done();
      return;
    }
    // A preflight carries no key: it is answered before authentication.
    void reply
      .status(204)
      .headers({
        'access-control-allow-methods': 'GET, HEAD',
        'access-control-allow-headers': requestFields,
        'access-control-max-age': String(MAX_AGE),
      })
      .send();
  };
  fastify.addHook('onRoute', (route) => {
    if (paths.includes(route.url)) route.onRequest = [allow, route.onRequest ?? []].flat();
  });
}
