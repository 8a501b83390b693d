import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** When a hostile Redis sends its reply. */
export type Moment = 'at once' | 'to each command' | 'once it is ready' | 'to the handshake, then closes';

/** How long a client has to handle the reply before the connection closes, in milliseconds. */
const HANDLING_MS = 250;

const HANDSHAKE: Readonly<Record<string, string>> = {
  hello: '%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n',
  client: '+OK\r\n',
  select: '+OK\r\n',
  info: '$17\r\nredis_mode:stand\r\n\r\n',
};

/** A malformed reply. */
export interface Hostility {
  readonly what: string;
  readonly answer: string;
  readonly moment: Moment;
}

/** Accepts connections like Redis and sends each another malformed reply; later forwards to a real Redis. */
export class HostileRedis {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #left: Hostility[];
  #realPort: number | undefined;

  private constructor(hostilities: readonly Hostility[]) {
    this.#left = [...hostilities];
    this.#server = createServer((socket) => {
      this.#take(socket);
    });
  }

  static async start(hostilities: readonly Hostility[]): Promise<HostileRedis> {
    const redis = new HostileRedis(hostilities);
    redis.#server.listen(0, '127.0.0.1');
    await once(redis.#server, 'listening');
    return redis;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Replies that are left, and the last one sent. */
  get left(): number {
    return this.#left.length;
  }

  last = '';

  /** Forwards all connections to a real Redis from now on. */
  forwardTo(port: number): void {
    this.#realPort = port;
    this.#dropAll();
  }

  async stop(): Promise<void> {
    this.#dropAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #dropAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #take(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket));
    if (this.#realPort !== undefined) {
      const real = connect(this.#realPort, '127.0.0.1').on('error', () => socket.destroy());
      socket.pipe(real).pipe(socket);
      return;
    }
    const hostility = this.#left.shift();
    if (hostility === undefined) {
      socket.destroy();
      return;
    }
    this.#beHostile(socket, hostility);
  }

  #beHostile(socket: Socket, { what, answer, moment }: Hostility): void {
    let isSent = false;
    const reply = (): void => {
      // A client that accepts the reply would keep the connection.
      if (!isSent) setTimeout(() => socket.destroy(), HANDLING_MS).unref();
      isSent = true;
      this.last = what;
      if (socket.writable) socket.write(Buffer.from(answer, 'latin1'));
    };
    // If the connection closes before the reply, the next one gets it.
    socket.on('close', () => {
      if (!isSent && this.#realPort === undefined) this.#left.push({ what, answer, moment });
    });
    if (moment === 'at once') reply();
    let rest = '';
    socket.on('data', (data) => {
      const { names, left } = commandsIn(rest + data.toString('latin1'));
      rest = left;
      for (const name of names) {
        const expected = HANDSHAKE[name];
        if (moment === 'once it is ready' && expected !== undefined) socket.write(expected);
        else if (moment !== 'at once') reply();
        if (moment === 'to the handshake, then closes') socket.end();
      }
    });
  }
}

/** Names of the complete commands, and the incomplete rest. */
function commandsIn(text: string): { names: string[]; left: string } {
  const names: string[] = [];
  let left = text;
  for (;;) {
    const [head, count] = /^\*(\d+)\r\n/.exec(left) ?? [];
    if (head === undefined) return { names, left };
    let at = head.length;
    let name = '';
    for (let index = 0; index < Number(count); index++) {
      const [line, length] = /^\$(\d+)\r\n/.exec(left.slice(at)) ?? [];
      if (line === undefined) return { names, left };
      const begin = at + line.length;
      at = begin + Number(length) + 2;
      if (at > left.length) return { names, left };
      if (index === 0) name = left.slice(begin, at - 2).toLowerCase();
    }
    names.push(name);
    left = left.slice(at);
  }
}
