import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const MAIN = join(import.meta.dirname, 'delaying-proxy-main.ts');

/** The round trip through the proxy, in milliseconds: half of it each way, each evenly spread. */
export interface Distance {
  readonly roundTripMs: number;
  readonly jitterMs?: number;
}

/** Breaks all connections; new ones go to this port of the machine. */
export interface Redirection {
  readonly target: number;
}

/** What the proxy does from now on. */
export type ProxyOrder = Distance | Redirection;

/** A TCP proxy that delays what passes, in order. It is a process of its own. */
export class DelayingProxy {
  readonly port: number;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.port = port;
  }

  /** @param target a port of this machine */
  static async start(target: number, distance: Distance): Promise<DelayingProxy> {
    const child = fork(MAIN, [String(target), JSON.stringify(distance)], { execArgv: [] });
    const [port] = (await once(child, 'message')) as [number];
    return new DelayingProxy(child, port);
  }

  order(order: ProxyOrder): void {
    this.#process.send(order);
  }

  async stop(): Promise<void> {
    const exited = once(this.#process, 'exit');
    this.#process.disconnect();
    await exited;
  }
}
