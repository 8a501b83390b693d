import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { freePort, untilListening } from './ports.ts';

/** The arguments of a redis-server on a port that keeps nothing on disk, as a replica neither. */
export function inMemory(port: number): string[] {
  const nothingOnDisk = ['--save', '', '--appendonly', 'no', '--repl-diskless-load', 'swapdb'];
  return ['--port', String(port), '--bind', '127.0.0.1', ...nothingOnDisk];
}

/** A connection of the test's own to a server that may be killed: nothing of it is left when it is ended. */
export function connectTo(options: {
  readonly port: number;
  readonly host?: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: { ca: Buffer };
}): Redis {
  // Of a connection that is gone ioredis would wait for the end for two seconds.
  const redis = new Redis({ ...options, disconnectTimeout: 0 });
  redis.on('error', () => undefined);
  return redis;
}

/** A redis-server of the test's own, on a free port. */
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

  /** One that has still to be started. @param command another server of the kind, Valkey for example */
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

  /** Starts it (again) on its port; one in memory is empty then. */
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

  /** Ends it without a word. */
  async kill(): Promise<void> {
    if (!this.#process || this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
  }
}
