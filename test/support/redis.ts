import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { freePort, untilListening } from './ports.ts';

/** Arguments of a redis-server without persistence, also as a replica. */
export function inMemory(port: number): string[] {
  const nothingOnDisk = ['--save', '', '--appendonly', 'no', '--repl-diskless-load', 'swapdb'];
  return ['--port', String(port), '--bind', '127.0.0.1', ...nothingOnDisk];
}

/** A connection of the test to a server that may be killed; ends without a delay. */
export function connectTo(options: {
  readonly port: number;
  readonly host?: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: { ca: Buffer };
}): Redis {
  // ioredis would wait two seconds for the end of a lost connection.
  const redis = new Redis({ ...options, disconnectTimeout: 0 });
  redis.on('error', () => undefined);
  return redis;
}

/** A redis-server on a free port. */
export class RedisServer {
  readonly port: number;
  readonly #args: readonly string[];
  readonly #command: string;
  #process: ChildProcess | undefined;

  private constructor(port: number, args: readonly string[], command: string) {
    this.port = port;
    this.#args = args;
    this.#command = command;
  }

  /** Creates a server without starting it. @param command a compatible server, for example Valkey */
  static async on(
    args: (port: number) => readonly string[] = inMemory,
    command = 'redis-server',
  ): Promise<RedisServer> {
    const port = await freePort();
    return new RedisServer(port, args(port), command);
  }

  static async start(): Promise<RedisServer> {
    const redis = await RedisServer.on();
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts or restarts it on its port, empty unless it has persistence. */
  async start(): Promise<void> {
    this.#process = spawn(this.#command, this.#args, { stdio: 'ignore' });
    const [fault, exit] = [once(this.#process, 'error'), once(this.#process, 'exit')];
    await Promise.race([
      untilListening(this.port),
      fault.then(([error]) => Promise.reject(error as Error)),
      exit.then(([status]) => Promise.reject(new Error(`redis-server has ended with ${String(status)}`))),
    ]);
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** Kills it. */
  async kill(): Promise<void> {
    if (!this.#process || this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
  }
}
