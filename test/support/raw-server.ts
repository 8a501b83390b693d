import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Certificates } from './certificates.ts';
import { atEnd } from './rig.ts';

/** Handles a connection once its request has arrived. */
export type OnRequest = (socket: Socket) => void;

/** A server that answers with arbitrary bytes, which need not be HTTP. */
export class RawServer {
  /** Number of requests. */
  requests = 0;
  onRequest: OnRequest = (socket) => socket.end();
  readonly #sockets = new Set<Socket>();
  readonly #server;
  readonly #protocol: string;

  private constructor(certificates?: Pick<Certificates, 'key' | 'cert'>) {
    const serve = (socket: Socket): void => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined).once('close', () => this.#sockets.delete(socket));
      socket.once('data', () => {
        this.requests++;
        this.onRequest(socket);
      });
    };
    this.#protocol = certificates ? 'https' : 'http';
    this.#server = certificates ? createTlsServer(certificates, serve) : createServer(serve);
  }

  /** Listens on a free local port, with TLS if there is a certificate. Ends with the test. */
  static async start(certificates?: Pick<Certificates, 'key' | 'cert'>): Promise<RawServer> {
    const server = new RawServer(certificates);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    atEnd(() => server.stop());
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Uses localhost, for certificates. */
  get url(): string {
    return `${this.#protocol}://localhost:${this.port}`;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }
}
