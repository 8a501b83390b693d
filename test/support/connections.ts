import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A TCP proxy that counts connections. */
export class Connections {
  count = 0;
  /** Target port of the next connection. */
  port: number;
  readonly #sockets = new Set<Socket>();
  readonly #server;

  private constructor(port: number) {
    this.port = port;
    this.#server = createServer((socket) => {
      this.count++;
      const onwards = connect(this.port, '127.0.0.1');
      for (const end of [socket, onwards]) {
        this.#sockets.add(end);
        end.on('error', () => undefined);
        end.on('close', () => {
          socket.destroy();
          onwards.destroy();
        });
      }
      socket.pipe(onwards).pipe(socket);
    });
  }

  /** @param url of the server */
  static async start(url: string): Promise<Connections> {
    const connections = new Connections(Number(new URL(url).port));
    connections.#server.listen(0, '127.0.0.1');
    await once(connections.#server, 'listening');
    return connections;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Closes all connections; accepts new ones. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }
}
