import { once } from 'node:events';
import { createServer, request as send, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** A request as received: `GET http://host:port/path`, or `CONNECT host:port`. */
export interface Proxied {
  readonly line: string;
  readonly authorization: string | undefined;
}

/** A forward proxy: absolute-form requests for http, tunnels for https. */
export class ForwardProxy {
  readonly seen: Proxied[] = [];
  readonly #sockets = new Set<Duplex>();
  readonly #server = createServer((request, response) => this.#forward(request, response));

  static async start(): Promise<ForwardProxy> {
    const proxy = new ForwardProxy();
    proxy.#server.on('connect', (request: IncomingMessage, socket: Duplex) => proxy.#tunnel(request, socket));
    proxy.#server.on('connection', (socket: Socket) => proxy.#sockets.add(socket));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  #note(request: IncomingMessage): void {
    const line = `${request.method} ${request.url}`;
    this.seen.push({ line, authorization: request.headers['proxy-authorization'] });
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    this.#note(request);
    const { 'proxy-authorization': _, ...headers } = request.headers;
    const onwards = send(request.url ?? '', { method: request.method ?? '', headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onwards.on('error', () => response.destroy());
    request.pipe(onwards);
  }

  #tunnel(request: IncomingMessage, socket: Duplex): void {
    this.#note(request);
    const [host, port] = (request.url ?? '').split(':');
    const onwards = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      socket.pipe(onwards).pipe(socket);
    });
    this.#sockets.add(onwards);
    onwards.on('error', () => socket.destroy());
    socket.on('error', () => onwards.destroy());
  }
}
