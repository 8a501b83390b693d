import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OTHERS, pinned } from './pinned.ts';

const SCRIPT = join(import.meta.dirname, 'wrk.lua');
const run = promisify(execFile);

/** What a stretch of load came to. */
export interface Loaded {
  readonly requests: number;
  readonly perSecond: number;
  /** Answers that were no success, and connections that broke. */
  readonly failed: number;
  /** Milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface LoadOptions {
  readonly url: string;
  readonly authorization: string;
  readonly seconds: number;
  /** Connections, each with one request under way at a time. */
  readonly connections: number;
  /** A file of paths that are read at random, in place of the URL's own. */
  readonly paths?: string;
}

/** As much load as a server takes, by wrk (one thread, on a core of its own). */
export async function load({
  url,
  authorization,
  seconds,
  connections,
  paths,
}: LoadOptions): Promise<Loaded> {
  const [program = '', ...args] = pinned(OTHERS, [
    ...['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', SCRIPT],
    ...['-H', `Authorization: ${authorization}`, url],
    ...(paths === undefined ? [] : ['--', paths]),
  ]);
  const { stdout } = await run(program, args);
  const line = stdout.split('\n').find((each) => each.startsWith('{'));
  if (line === undefined) throw new Error(`wrk says nothing:\n${stdout}`);
  const said = JSON.parse(line) as {
    requests: number;
    tookUs: number;
    failed: number;
    p50Us: number;
    p99Us: number;
  };
  return {
    requests: said.requests,
    perSecond: said.requests / (said.tookUs / 1e6),
    failed: said.failed,
    p50Ms: said.p50Us / 1000,
    p99Ms: said.p99Us / 1000,
  };
}
