import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { GatewayError } from '../errors/gateway-error.ts';
import type { Lifecycle } from '../lifecycle.ts';
import { Connections } from './connections.ts';
import { correlationId } from './correlation-id.ts';
import { addCommonHeaders, setCommonHeaders } from './common-headers.ts';

/** A complete response. */
export interface RawResponse {
  readonly status: number;
  /** Header fields, names and values in turn; with a body `content-length` is among them. */
  readonly head: string[];
  /** Bytes; in a string one character each. */
  readonly body: string | Buffer | undefined;
}

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Sends a complete response past Fastify's own sending (`onSend`, serialisation), which would cost a hit more than
     * all the rest. The common headers are added.
     */
    sendRaw(response: RawResponse): void;
    /** Adds the headers of every response to a head that Fastify does not write: names and values in turn. */
    addCommonHeaders(head: string[]): string[];
  }
}

/** Largest body that a request may announce, in bytes. No route reads one. */
const LARGEST_BODY = 64 * 1024;
/** How long a request may still take to arrive once the server closes, in milliseconds. */
const IDLE_GRACE_MS = 1000;
/** Longest URL, in bytes. */
const LONGEST_URL = 8 * 1024;

/** Hooks and decorations that apply to every request, whatever its route. */
export function addServerHooks(fastify: FastifyInstance, lifecycle: Lifecycle): void {
  // While the server is about to close, a kept connection would meet its end with a request under way.
  const closes = (): boolean => lifecycle.phase === 'draining';
  fastify.addHook('onRequest', (request, reply, done) => {
    const fault = faultOf(request);
    // Where this request ends and the next begins is uncertain.
    if (fault?.status === 400) void reply.header('connection', 'close');
    done(fault);
  });
  fastify.addHook('onSend', (_request, reply, _payload, done) => {
    setCommonHeaders(reply, closes());
    done();
  });
  fastify.decorateReply('addCommonHeaders', function (this: FastifyReply, head) {
    return addCommonHeaders(head, this.request.id, closes());
  });
  fastify.decorateReply('sendRaw', function (this: FastifyReply, { status, head, body }) {
    // Before `hijack`: a head that Node refuses is an error like any other.
    this.raw.writeHead(status, addCommonHeaders(head, this.request.id, closes()));
    this.hijack();
    if (typeof body === 'string') this.raw.end(body, 'latin1');
    else this.raw.end(body);
  });
  const connections = new Connections(fastify.server);
  handleSpecialRequests(fastify, connections);
  fastify.addHook('preClose', (done) => {
    // Node would wait for a connection that has sent nothing, or half a head, as for a request under way.
    setInterval(() => {
      connections.closeIdle();
    }, IDLE_GRACE_MS).unref();
    done();
  });
}

/** Faults that show in the head of a request. */
function faultOf({ raw, headers, is404 }: FastifyRequest): GatewayError | undefined {
  if (raw.httpVersion === '1.1' && headers.host === undefined) {
    return GatewayError.of('InvalidRequest', { message: 'The Host header is missing.' });
  }
  if (hasTwoHosts(raw.rawHeaders)) {
    return GatewayError.of('InvalidRequest', { message: 'There is more than one Host header.' });
  }
  const encoding = headers['transfer-encoding'];
  if (encoding !== undefined && !/^chunked$/i.test(encoding)) {
    return GatewayError.of('InvalidRequest', { message: 'The Transfer-Encoding is not known.' });
  }
  if ((raw.url ?? '').length > LONGEST_URL) return GatewayError.of('RequestTooLarge', { status: 414 });
  const length = headers['content-length'];
  if (length !== undefined && Number(length) > LARGEST_BODY) return GatewayError.of('RequestTooLarge');
  return is404 ? GatewayError.of('NotFound') : undefined;
}

/**
 * RFC 9112 section 3.2: a proxy in front may have routed by the other one. Node keeps only the first, so the raw
 * headers are searched. Every request passes here, so names of another length are skipped without a copy.
 */
function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts > 1;
}

/**
 * Handles what Node emits as events of its own and would answer by itself: expectations, CONNECT and unreadable bytes.
 */
function handleSpecialRequests({ server }: FastifyInstance, connections: Connections): void {
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    server.emit('request', request, response);
  };
  // No route reads a body, so 100 Continue is never sent; other expectations are unknown headers, which are ignored.
  server.on('checkContinue', serve);
  server.on('checkExpectation', serve);
  server.on('connect', ({ headers }: IncomingMessage, socket: Socket) => {
    const refusal = GatewayError.of('MethodNotAllowed', { headers: { allow: 'GET, HEAD' } });
    connections.refuse(socket, refusal, correlationId(headers['x-correlation-id']));
  });
  server.removeAllListeners('clientError');
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // The connection is closed already.
    if (error.code === 'ECONNRESET') socket.destroy();
    else connections.refuse(socket, unreadable(error));
  });
}

/** Maps an error of Node's parser or of its timers to the documented one (docs/CONTRACT.md, section 4). */
function unreadable({ code }: NodeJS.ErrnoException): GatewayError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return GatewayError.of('RequestTimeout');
  if (code === 'HPE_HEADER_OVERFLOW') return GatewayError.of('RequestTooLarge', { status: 431 });
  return GatewayError.of('InvalidRequest', { message: 'This is not an HTTP request.' });
}
