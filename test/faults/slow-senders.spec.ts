import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { FakeUpstreamProcess } from '../support/fake-upstream-process.ts';
import { expectError } from '../support/error-answer.ts';
import { type Gateway, testCaller } from '../support/gateway.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';
import { converse, open } from '../support/wire.ts';

const HOSTILE = join(import.meta.dirname, '../support/hostile-clients.ts');
const ROUNDS = 7;
const ROUND_MS = 3000;
/** So much a busy machine adds by itself to a 99th percentile of few milliseconds. */
const NOISE_MS = 5;
/** Between two reads of a kind. */
const READ_EVERY_MS = 10;

type Kind = 'held' | 'called';

/** One caller's reads for a while: of a job that is held, and of jobs that need a call. */
async function readFor(gateway: Gateway, held: string, forMs: number): Promise<Record<Kind, number[]>> {
  const took: Record<Kind, number[]> = { held: [], called: [] };
  const until = performance.now() + forMs;
  const pending: Promise<void>[] = [];
  const read = async (kind: Kind, jobId: string): Promise<void> => {
    const { status, tookMs } = await readJob(gateway, jobId);
    expect(status).toBe(200);
    took[kind].push(tookMs);
  };
  while (performance.now() < until) {
    pending.push(read('held', held), read('called', jobIds(1)[0]!));
    await delay(READ_EVERY_MS);
  }
  await Promise.all(pending);
  return took;
}

function p99(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
}

interface Counts {
  readonly slow: number;
  readonly bombs: number;
  readonly closed: number;
}

/** Slow senders and a header bomb, until they are told to stop. */
class Hostile {
  counts: Counts = { slow: 0, bombs: 0, closed: 0 };
  readonly #process: ChildProcess;

  constructor(url: string, path: string) {
    const child = spawn(process.execPath, [HOSTILE, url, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface(child.stdout).on('line', (line) => (this.counts = JSON.parse(line) as Counts));
    this.#process = child;
    atEnd(async () => child.kill('SIGKILL'));
  }

  async end(): Promise<void> {
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}

describe('slow senders and a header bomb', () => {
  it('do not disturb another caller: its p99 is within twice of that without them', async () => {
    const upstream = await FakeUpstreamProcess.start(
      { FAKE_UPSTREAM_UNKNOWN_JOBS: 'make' },
      { latencyMs: [5, 25] },
    );
    atEnd(() => upstream.stop());
    const gateway = await startGateway({ upstream, callers: [testCaller('good')] });
    const held = await upstream.addJob({ state: 'success' });
    await readFor(gateway, held, 2000);
    /** The 99th percentile of each round. */
    const without: Record<Kind, number[]> = { held: [], called: [] };
    const beside: Record<Kind, number[]> = { held: [], called: [] };
    const totals = { slow: 0, bombs: 0 };
    // By turns, so that whatever else the machine does meets both.
    for (let round = 0; round < ROUNDS; round++) {
      const alone = await readFor(gateway, held, ROUND_MS);
      const hostile = new Hostile(gateway.url, `/contextcapture/jobs/${held}`);
      await until('all slow senders are there', () => hostile.counts.slow >= 500);
      const disturbed = await readFor(gateway, held, ROUND_MS);
      totals.slow += hostile.counts.slow;
      totals.bombs += hostile.counts.bombs;
      await hostile.end();
      for (const kind of ['held', 'called'] as const) {
        without[kind].push(p99(alone[kind]));
        beside[kind].push(p99(disturbed[kind]));
      }
      // The ends of its connections are not to be met by those who read alone.
      await readFor(gateway, held, 1000);
    }
    for (const kind of ['held', 'called'] as const) {
      const [quiet, loud] = [median(without[kind]), median(beside[kind])];
      process.stdout.write(
        `${kind}: p99 ${quiet.toFixed(1)} ms alone, ${loud.toFixed(1)} ms beside ${totals.slow} slow requests and ${totals.bombs} header bombs (${(loud / quiet).toFixed(2)} ×)\n`,
      );
      expect(loud).toBeLessThanOrEqual(Math.max(2 * quiet, quiet + NOISE_MS));
    }
    expect(totals.bombs).toBeGreaterThan(ROUNDS * 50);
  }, 120_000);
});

describe('a connection', () => {
  it('is closed when its head, body, next request or reading the answer takes too long', async () => {
    const upstream = await startUpstream();
    const gateway = await startGateway({ upstream, env: { PATIENCE: '1s', UPSTREAM_TIMEOUT: '1s' } });
    const job = `/contextcapture/jobs/${upstream.addJob({ state: 'success' }).id}`;
    const head = `GET ${job} HTTP/1.1\r\nHost: a\r\nAuthorization: ${gateway.bearer()}\r\n`;
    const seconds = await Promise.all([
      slowHead(gateway, head),
      slowBody(gateway, head),
      idle(gateway, `${head}\r\n`),
      unread(gateway, `${head}\r\n`),
    ]);
    const [headIn, bodyIn, idleIn, unreadIn] = seconds;
    process.stdout.write(`closed after ${seconds.map((each) => each.toFixed(1)).join(', ')} s\n`);
    expect([headIn >= 9.9, headIn <= 13]).toEqual([true, true]);
    expect([bodyIn >= 29, bodyIn <= 34]).toEqual([true, true]);
    expect([idleIn >= 74, idleIn <= 79]).toEqual([true, true]);
    // Patience, four times the timeout, 15 s; the silence may begin later than the stopping.
    expect([unreadIn >= 19, unreadIn <= 45]).toEqual([true, true]);
    expect((await readJob(gateway, job.slice(-36))).status).toBe(200);
  }, 120_000);
});

const secondsSince = (since: number): number => (performance.now() - since) / 1000;

/** A header field that never ends. */
async function slowHead(gateway: Gateway, head: string): Promise<number> {
  const since = performance.now();
  const { answers } = await converse(gateway.url, `${head}X-Slow: a`);
  expectError(answers[0]!, 408, 'RequestTimeout');
  return secondsSince(since);
}

/**
 * Content that comes a byte a second: it is answered at once, since nobody reads it, and not waited for longer than any
 * request.
 */
async function slowBody(gateway: Gateway, head: string): Promise<number> {
  const since = performance.now();
  const socket = await open(gateway.url);
  socket.resume().write(`${head}Content-Length: 60000\r\n\r\n`);
  const timer = setInterval(() => socket.write('a'), 1000);
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(timer);
  return secondsSince(since);
}

async function idle(gateway: Gateway, request: string): Promise<number> {
  const socket = await open(gateway.url);
  socket.write(request);
  await once(socket, 'data');
  const since = performance.now();
  await once(socket.resume(), 'close');
  return secondsSince(since);
}

/** Asks and asks, and takes no answer. */
async function unread(gateway: Gateway, request: string): Promise<number> {
  const socket = await open(gateway.url);
  socket.pause();
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const since = performance.now();
  for (let asked = 0; asked < 5000; asked++) socket.write(request);
  // A paused socket hears of its end only when what it writes is refused.
  const timer = setInterval(() => socket.write(request), 500);
  await closed;
  clearInterval(timer);
  return secondsSince(since);
}
