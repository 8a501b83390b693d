import { Agent, get } from 'node:http';
import { randomUUID } from 'node:crypto';
import type { Gateway, TestCaller } from './gateway.ts';
import type { Watched } from './watcher.ts';

/** An answer as seen by a caller. */
export interface Seen {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** Time from the request to the end of the answer, in milliseconds. */
  readonly tookMs: number;
}

export interface ReadOptions {
  readonly caller?: TestCaller;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

/** Reads a job through the gateway. */
export function readJob(gateway: Watched, jobId: string, options: ReadOptions = {}): Promise<Seen> {
  const since = performance.now();
  const headers = { authorization: gateway.bearer(options.caller), ...options.headers };
  const { promise, resolve, reject } = Promise.withResolvers<Seen>();
  const request = get(
    `${gateway.url}/contextcapture/jobs/${jobId}`,
    { agent, headers, ...(options.signal && { signal: options.signal }) },
    (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, body: Buffer.concat(chunks), tookMs: performance.now() - since });
      });
    },
  );
  request.on('error', reject);
  return promise;
}

/** The `error` of an answer's envelope. */
export function errorOf({ body }: Pick<Seen, 'body'>): Readonly<Record<string, unknown>> & { code: string } {
  return (JSON.parse(body.toString()) as { error: { code: string } }).error;
}

export function jobIds(count: number): string[] {
  return Array.from({ length: count }, () => randomUUID());
}

/** Sum of a metric's samples with these labels. */
export async function metric(
  gateway: Gateway,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => wanted.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
