import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { STATUS_CODES } from 'node:http';
import { toErrorResponse } from '../errors/error-response.ts';
import type { GatewayError } from '../errors/gateway-error.ts';
import { correlationId } from './correlation-id.ts';
import { addCommonHeaders } from './common-headers.ts';

/** The open connections, each with the response to its latest request. */
export class Connections {
  readonly #open = new Map<Socket, ServerResponse | undefined>();
  /** Connections whose error response waits for the response before it. */
  readonly #concluding = new WeakSet<Socket>();

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      this.#open.set(socket, undefined);
      socket.once('close', () => this.#open.delete(socket));
      // Node removes its own listener before it emits `connect`: without this one a reset would end the process.
      socket.on('error', () => undefined);
    });
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      this.#open.set(socket, response);
    });
  }

  /**
   * Sends an error for bytes that are not a valid request and closes the connection, after the response to the request
   * before them (RFC 9112 section 9.3.2). If they belong to a request that has been answered already, the connection is
   * only closed.
   */
  refuse(socket: Socket, error: GatewayError, id = correlationId(undefined)): void {
    // Node reports each further chunk after the first one that it cannot parse.
    if (this.#concluding.has(socket)) return;
    const last = this.#open.get(socket);
    const conclude = (): void => {
      this.#concluding.delete(socket);
      if (last?.req.complete === false) socket.destroy();
      else write(socket, error, id);
    };
    if (!last || last.writableFinished) {
      conclude();
      return;
    }
    this.#concluding.add(socket);
    last.once('close', conclude);
  }

  /** Closes the connections that have no request under way. */
  closeIdle(): void {
    for (const [socket, last] of this.#open) if (!last || last.writableFinished) socket.destroy();
  }
}

function write(socket: Socket, error: GatewayError, id: string): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = toErrorResponse(error);
  const fields = { ...headers, 'content-length': String(Buffer.byteLength(body)) };
  const head = addCommonHeaders(Object.entries(fields).flat(), id, true);
  const lines = head.map((text, at) => (at % 2 === 0 ? `${text}: ` : `${text}\r\n`));
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`, () => {
    socket.destroy();
  });
}
