import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const MAIN = join(import.meta.dirname, 'delaying-proxy-main.ts');

/** Round trip through the proxy, in milliseconds: half each way, uniformly distributed. */
export interface Distance {
  readonly roundTripMs: number;
  readonly jitterMs?: number;
}

/** Closes all connections; new ones go to this local port. */
export interface Redirection {
  readonly target: number;
}

/** A change of the proxy's configuration. */
export type ProxyOrder = Distance | Redirection;

/** A TCP proxy that delays data, in order, in a separate process. */
export class DelayingProxy {
  readonly port: number;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.port = port;
  }

  /** @param target a local port */
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
