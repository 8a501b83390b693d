import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { atEnd } from './rig.ts';

/** Modifies replies on the way to the client. */
export type Reword = (answer: string) => string;

/** Converts errors of Redis 7 to the format of Redis 6.2 (src/store/reply-code.ts). */
export const asRedis62: Reword = (answer) =>
  answer.replaceAll(
    /-(READONLY [^\r]*?) script: (\w+), on @user_script:(\d+)\./g,
    '-ERR Error running script (call to f_$2): @user_script:$3: @user_script: $3: -$1',
  );

/** An address for one server at a time, like a Kubernetes service: existing connections stay when it changes. */
export class RedisService {
  target: number;
  readonly #reword: Reword;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => {
    this.#relay(socket);
  });

  private constructor(target: number, reword: Reword) {
    this.target = target;
    this.#reword = reword;
  }

  static async start(target: number, reword: Reword = (answer) => answer): Promise<RedisService> {
    const service = new RedisService(target, reword);
    service.#server.listen(0, '127.0.0.1');
    await once(service.#server, 'listening');
    atEnd(async () => {
      service.#server.close();
      for (const socket of service.#sockets) socket.destroy();
    });
    return service;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #relay(client: Socket): void {
    const server = connect(this.target, '127.0.0.1');
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        client.destroy();
        server.destroy();
        this.#sockets.delete(socket);
      });
    }
    client.pipe(server);
    server.on('data', (chunk: Buffer) =>
      client.write(Buffer.from(this.#reword(chunk.toString('latin1')), 'latin1')),
    );
  }
}
