import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { GatewayError } from '../errors/gateway-error.ts';
import type { Lifecycle } from '../lifecycle.ts';
import { Connections } from './connections.ts';
import { correlationId } from './correlation-id.ts';
import { addCommonHeaders, commonHeaders } from './common-headers.ts';

/** An answer that is there in one piece. */
export interface RawResponse {
  readonly status: number;
  /** Its header fields, names and values in turn; with a body `content-length` is among them. */
  readonly head: string[];
  /** Bytes; in a string one character each. */
  readonly body: string | Buffer | undefined;
}

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Sends an answer past what Fastify has for those that are made on the way (`onSend`, serialisation): that would cost a hit
     * more than all else that is done for it. What every answer carries is added.
     */
    sendWhole(answer: RawResponse): void;
    /** What every answer carries, for those whose head Fastify does not write. */
    commonFields(): Readonly<Record<string, string>>;
  }
}

/** No route takes a body; a request that announces one longer than this, in bytes, is refused for it. */
const LARGEST_BODY = 64 * 1024;
/** Once the server closes: how long a request that is arriving may still take, in milliseconds. */
const IDLE_GRACE_MS = 1000;
/** Longest URL, in bytes. */
const LONGEST_URL = 8 * 1024;

/** What every request meets first, whatever its route. */
export function addServerHooks(fastify: FastifyInstance, lifecycle: Lifecycle): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    const fault = faultOf(request);
    // Where one request ends and the next begins is not to be trusted any more.
    if (fault?.status === 400) void reply.header('connection', 'close');
    done(fault);
  });
  fastify.addHook('onSend', (request, reply, _payload, done) => {
    void reply.headers(commonHeaders(request.id));
    // The server closes soon: a caller that kept its connection would meet its end with a request on the way.
    if (lifecycle.phase === 'draining') void reply.header('connection', 'close');
    done();
  });
  fastify.decorateReply('commonFields', function (this: FastifyReply) {
    return commonHeaders(this.request.id);
  });
  fastify.decorateReply('sendWhole', function (this: FastifyReply, { status, head, body }) {
    addCommonHeaders(head, this.request.id);
    if (lifecycle.phase === 'draining') head.push('connection', 'close');
    // Before Fastify is told: a head that Node refuses is an error as any other.
    this.raw.writeHead(status, head);
    this.hijack();
    if (typeof body === 'string') this.raw.end(body, 'latin1');
    else this.raw.end(body);
  });
  const connections = new Connections(fastify.server);
  handleSpecialRequests(fastify, connections);
  fastify.addHook('preClose', (done) => {
    // Node waits for a connection that has sent nothing, or half a head, as for a request under way.
    setInterval(() => {
      connections.closeIdle();
    }, IDLE_GRACE_MS).unref();
    done();
  });
}

/** Known from its head alone, before anything is made of its body. */
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
 * RFC 9112 section 3.2: whoever stands in front may have gone by the other line. Node keeps the first alone, so the lines are looked at
 * as they came, names and values in turn. Every request passes here: nothing is made of a name that is not as long.
 */
function hasTwoHosts(lines: readonly string[]): boolean {
  let hosts = 0;
  for (let at = 0; at < lines.length; at += 2) {
    const name = lines[at];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts > 1;
}

/** What Node hands over by another way than as a request, and would answer on its own. */
function handleSpecialRequests({ server }: FastifyInstance, connections: Connections): void {
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    server.emit('request', request, response);
  };
  // Nobody reads a body, so nobody is asked for one; any other expectation is a header that cannot be understood.
  server.on('checkContinue', serve);
  server.on('checkExpectation', serve);
  server.on('connect', ({ headers }: IncomingMessage, socket: Socket) => {
    const refusal = GatewayError.of('MethodNotAllowed', { headers: { allow: 'GET, HEAD' } });
    connections.answer(socket, refusal, correlationId(headers['x-correlation-id']));
  });
  server.removeAllListeners('clientError');
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // A connection that is gone cannot be told anything.
    if (error.code === 'ECONNRESET') socket.destroy();
    else connections.answer(socket, unreadable(error));
  });
}

/** Maps an error of Node's parser or timers to the documented error (docs/CONTRACT.md, section 4). */
function unreadable({ code }: NodeJS.ErrnoException): GatewayError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return GatewayError.of('RequestTimeout');
  if (code === 'HPE_HEADER_OVERFLOW') return GatewayError.of('RequestTooLarge', { status: 431 });
  return GatewayError.of('InvalidRequest', { message: 'This is not an HTTP request.' });
}
