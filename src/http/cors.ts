import type { FastifyInstance, onRequestHookHandler } from 'fastify';

/**
 * The request headers of docs/CONTRACT.md, section 2, and the content type that clients of the API's family send.
 */
const REQUEST_FIELDS = [
  ...['Authorization', 'X-Correlation-Id', 'If-None-Match', 'Cache-Control', 'Prefer', 'Last-Event-ID'],
  'Content-Type',
];
/** W3C Trace Context: a page that traces sends them, which a browser does only when it is told that it may. */
const TRACE_FIELDS = ['traceparent', 'tracestate'];
/** The headers of docs/CONTRACT.md, section 3. Browsers always expose `Cache-Control` and `Content-Type`. */
const RESPONSE_FIELDS = [
  ...['ETag', 'Age', 'Cache-Status', 'RateLimit-Policy', 'RateLimit', 'Retry-After', 'X-Correlation-Id'],
  'WWW-Authenticate',
];
/** How long a browser need not ask again, in seconds. */
const MAX_AGE = 3600;

export interface CorsOptions {
  /** Exact ones, or `*` alone; none: no page of another origin reads anything. */
  readonly origins: readonly string[];
  /**
   * What they may read, as routed. Not what is answered without a key: a page on the web is not to read the metrics through the
   * browser of somebody inside.
   */
  readonly paths: readonly string[];
  /** Whether a caller's trace goes on here. */
  readonly takesTraces: boolean;
}

/** Lets pages of other origins read what is answered to callers. No cookies are ever allowed: a caller says who it is. */
export function allowOrigins(fastify: FastifyInstance, { origins, paths, takesTraces }: CorsOptions): void {
  if (origins.length === 0) return;
  const requestFields = [...REQUEST_FIELDS, ...(takesTraces ? TRACE_FIELDS : [])].join(', ');
  const isForAll = origins.includes('*');
  const allow: onRequestHookHandler = ({ method, headers }, reply, done) => {
    const { origin } = headers;
    // Set where every answer takes them from, whoever writes its head. The answer to one origin must not be kept for another.
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
    // A preflight carries no key: it is answered before anybody asks for one.
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
