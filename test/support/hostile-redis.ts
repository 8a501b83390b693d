import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** When it is that a hostile Redis says what it has to say. */
export type Moment = 'at once' | 'to each command' | 'once it is ready' | 'to the handshake, then closes';

/** For how long a client may make what it will of what was said, in milliseconds. */
const HEARD_MS = 250;

const HANDSHAKE: Readonly<Record<string, string>> = {
  hello: '%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n',
  client: '+OK\r\n',
  select: '+OK\r\n',
  info: '$17\r\nredis_mode:stand\r\n\r\n',
};

/** Something that is said in place of a proper answer. */
export interface Hostility {
  readonly what: string;
  readonly answer: string;
  readonly moment: Moment;
}

/** Takes connections as a Redis does, and answers each in another wrong way, in turn; then it is the Redis that it is told. */
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

  /** What has still to be said, and the last that was. */
  get left(): number {
    return this.#left.length;
  }

  last = '';

  /** From now on it is a real one, on another port. */
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
    let isSaid = false;
    const speak = (): void => {
      // A client that is content with it would stay for ever.
      if (!isSaid) setTimeout(() => socket.destroy(), HEARD_MS).unref();
      isSaid = true;
      this.last = what;
      if (socket.writable) socket.write(Buffer.from(answer, 'latin1'));
    };
    // A connection that is given up before it was told anything says it the next time.
    socket.on('close', () => {
      if (!isSaid && this.#realPort === undefined) this.#left.push({ what, answer, moment });
    });
    if (moment === 'at once') speak();
    let rest = '';
    socket.on('data', (data) => {
      const { names, left } = commandsIn(rest + data.toString('latin1'));
      rest = left;
      for (const name of names) {
        const expected = HANDSHAKE[name];
        if (moment === 'once it is ready' && expected !== undefined) socket.write(expected);
        else if (moment !== 'at once') speak();
        if (moment === 'to the handshake, then closes') socket.end();
      }
    });
  }
}

/** The names of the commands that have come as a whole, and what is left of the next. */
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
