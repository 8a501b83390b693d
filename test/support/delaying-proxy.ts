import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** The round trip through the proxy, in milliseconds: half of it each way, each evenly spread. */
export interface Distance {
  readonly roundTripMs: number;
  readonly jitterMs?: number;
}

/** A TCP proxy that delays what passes, in order, and can cut its connections. */
export class DelayingProxy {
  #distance: Distance;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(target: number, distance: Distance) {
    this.#distance = distance;
    this.#server = createServer({ noDelay: true }, (client) => {
      const server = connect({ port: target, host: '127.0.0.1', noDelay: true });
      this.#relay(client, server);
      this.#relay(server, client);
    });
  }

  /** @param target a port of this machine */
  static async start(target: number, distance: Distance): Promise<DelayingProxy> {
    const proxy = new DelayingProxy(target, distance);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on. */
  set distance(distance: Distance) {
    this.#distance = distance;
  }

  /** Breaks all connections; new ones are taken. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }

  #relay(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    /** When what came before arrives: nothing overtakes it. */
    let arrivesAt = 0;
    const later = (pass: () => void): void => {
      arrivesAt = Math.max(arrivesAt, performance.now() + this.#oneWayMs());
      setTimeout(pass, arrivesAt - performance.now());
    };
    from.on('data', (bytes) => {
      later(() => to.write(bytes));
    });
    from.on('end', () => {
      later(() => to.end());
    });
    from.on('close', () => {
      this.#sockets.delete(from);
      later(() => to.destroy());
    });
    from.on('error', () => undefined);
  }

  #oneWayMs(): number {
    const { roundTripMs, jitterMs = 0 } = this.#distance;
    return (roundTripMs + (2 * Math.random() - 1) * jitterMs) / 2;
  }
}
