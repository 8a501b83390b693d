import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { STATUS_CODES } from 'node:http';
import { toErrorResponse } from '../errors/error-response.ts';
import type { GatewayError } from '../errors/gateway-error.ts';
import { correlationId } from './correlation-id.ts';
import { addCommonHeaders } from './common-headers.ts';

/** The open connections, and the last request of each that became one. */
export class Connections {
  readonly #open = new Map<Socket, ServerResponse | undefined>();
  /** Those whose last word waits for the answer to the request before it. */
  readonly #concluding = new WeakSet<Socket>();

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      this.#open.set(socket, undefined);
      socket.once('close', () => this.#open.delete(socket));
      // Node takes its own listener away before it hands over a CONNECT: then a reset would end the process.
      socket.on('error', () => undefined);
    });
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      this.#open.set(socket, response);
    });
  }

  /**
   * Answers what never became a request, and closes its connection: after the answer to the request before it, if that is
   * still under way (RFC 9112 section 9.3.2). The rest of a request that has been answered already gets no second answer.
   */
  answer(socket: Socket, error: GatewayError, id = correlationId(undefined)): void {
    // Node tells of every chunk that comes after one that it could not read.
    if (this.#concluding.has(socket)) return;
    const last = this.#open.get(socket);
    const answer = (): void => {
      this.#concluding.delete(socket);
      if (last?.req.complete === false) socket.destroy();
      else write(socket, error, id);
    };
    if (!last || last.writableFinished) {
      answer();
      return;
    }
    this.#concluding.add(socket);
    last.once('close', answer);
  }

  /** Closes those on which no request is under way. */
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
