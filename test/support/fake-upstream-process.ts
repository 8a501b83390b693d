import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { COMPILED, type Upstream } from './gateway.ts';

const MAIN = join(import.meta.dirname, '../fake-upstream/main.ts');

/** A call as recorded by the fake upstream. Times in milliseconds on its clock. */
export interface RecordedCall {
  readonly at: number;
  readonly jobId: string;
  readonly status: number | string;
  readonly refusedForMs?: number;
}

/**
 * The fake upstream in a separate process, so that it records arrival times correctly however busy the test is.
 */
export class FakeUpstreamProcess implements Upstream {
  readonly settings = { clientId: 'demo-client', clientSecret: 'demo-secret' };
  /** Without tokens, which stay in the fake upstream. */
  readonly calls = [];
  readonly url: string;
  readonly tokenUrl: string;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, url: string, tokenUrl: string) {
    this.#process = process;
    this.url = url;
    this.tokenUrl = tokenUrl;
  }

  static async start(env: Readonly<Record<string, string>>, settings: object): Promise<FakeUpstreamProcess> {
    const child = spawn(process.execPath, [MAIN], {
      env: { ...COMPILED, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const { url, tokenUrl } = JSON.parse(line) as { url: string; tokenUrl: string };
    const upstream = new FakeUpstreamProcess(child, url, tokenUrl);
    await upstream.set(settings);
    return upstream;
  }

  async recordedCalls(): Promise<RecordedCall[]> {
    return (await this.#control('/calls')) as RecordedCall[];
  }

  /** Adds a job. @param job `JobOptions` @returns its id */
  async addJob(job: object = {}): Promise<string> {
    const { id } = (await this.#control('/jobs', { method: 'POST', body: JSON.stringify(job) })) as {
      id: string;
    };
    return id;
  }

  async setState(jobId: string, state: string): Promise<void> {
    await this.#control(`/jobs/${jobId}`, { method: 'PATCH', body: JSON.stringify({ state }) });
  }

  /** Number of calls refused by the limits. */
  async refused(): Promise<number> {
    return ((await this.#control('')) as { refused: number }).refused;
  }

  async mostInWindow(windowMs: number): Promise<number> {
    return ((await this.#control(`/window?ms=${windowMs}`)) as { most: number }).most;
  }

  /** @param settings `FakeUpstreamSettings` to change */
  async set(settings: object): Promise<void> {
    await this.#control('', { method: 'PATCH', body: JSON.stringify(settings) });
  }

  /** @param fault `FaultSpec & FaultScope` */
  async fault(fault: object): Promise<void> {
    await this.#control('/faults', { method: 'POST', body: JSON.stringify(fault) });
  }

  async clearFaults(): Promise<void> {
    await this.#control('/faults', { method: 'DELETE' });
  }

  async stop(): Promise<void> {
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    await exited;
  }

  async #control(path: string, init?: RequestInit): Promise<unknown> {
    const response = await fetch(`${this.url}/_fake${path}`, init);
    if (!response.ok) throw new Error(await response.text());
    return response.status === 204 ? undefined : response.json();
  }
}
