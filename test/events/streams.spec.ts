import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { caller, everyone } from '../../src/callers/caller.ts';
import type { Listener } from '../../src/events/job-poll.ts';
import { Streams } from '../../src/events/streams.ts';
import { parseJob } from '../../src/upstream/copy.ts';

/** A fake response, whose reader takes all or nothing. */
class Response extends EventEmitter {
  readonly wrote: string[] = [];
  destroyed = false;
  ended = false;
  /** Whether the reader takes the end. */
  closes = true;
  constructor(public takes = true) {
    super();
  }

  write(bytes: Buffer): boolean {
    if (this.ended) throw new Error('write after end');
    this.wrote.push(bytes.toString());
    return this.takes;
  }

  end(bytes: Buffer): void {
    this.write(bytes);
    this.ended = true;
    if (this.takes && this.closes) this.destroy();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }

  /** The reader has caught up, and goes on so. */
  drain(): void {
    this.takes = true;
    this.emit('drain');
  }
}

const HEARTBEAT_MS = 15_000;
let listeners: Set<Listener>;
let streams: Streams;

beforeEach(() => {
  jest.useFakeTimers();
  listeners = new Set();
  const watch = (_jobId: string, _caller: string, listener: Listener) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };
  streams = new Streams({ watch }, everyone, { perCaller: 10 });
});

afterEach(() => {
  streams.closeAll();
  jest.useRealTimers();
});

function open(response: Response): Response {
  streams.open(response as unknown as ServerResponse, ['a-job'], caller('tester', ['*']), undefined);
  return response;
}

function tell(state: string): void {
  const copy = parseJob('a-job', Buffer.from(document(state)), 'application/json', performance.now())!;
  for (const listener of listeners) listener({ copy });
}

const document = (state: string): string => `{"job":{"id":"a-job","state":"${state}"}}`;
const event = (state: string): string => `event: job\ndata: ${document(state)}\n\n`;

describe('a stream of job events', () => {
  it('gets a comment every 15 s, and stays open as long as its reader takes it', () => {
    const { wrote } = open(new Response());
    jest.advanceTimersByTime(HEARTBEAT_MS - 1);
    expect(wrote).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(wrote).toEqual([':\n\n']);
    jest.advanceTimersByTime(100 * HEARTBEAT_MS);
    expect(wrote).toHaveLength(101);
    expect(streams.count).toBe(1);
  });

  it('gives a slow reader the latest state and no backlog', () => {
    const slow = open(new Response(false));
    for (let version = 0; version < 1000; version++) tell(`version ${version}`);
    expect(slow.wrote).toEqual([event('version 0')]);
    slow.drain();
    expect(slow.wrote.slice(1)).toEqual([event('version 999')]);
  });

  it('is closed, and its watches end, when its reader takes nothing for four heartbeats', () => {
    const dead = open(new Response(false));
    tell('active');
    jest.advanceTimersByTime(4 * HEARTBEAT_MS - 1);
    expect([dead.destroyed, streams.count, listeners.size]).toEqual([false, 1, 1]);
    jest.advanceTimersByTime(1);
    expect([dead.destroyed, streams.count, listeners.size]).toEqual([true, 0, 0]);
    // Not even a heartbeat was written for it.
    expect(dead.wrote).toEqual([event('active')]);
  });

  it('stays open when its reader takes something in between', () => {
    const slow = open(new Response(false));
    for (let round = 0; round < 5; round++) {
      tell(`active ${round}`);
      jest.advanceTimersByTime(3 * HEARTBEAT_MS);
      slow.drain();
      slow.takes = false;
    }
    expect(slow.destroyed).toBe(false);
  });

  it('is closed when its reader does not take the end', () => {
    const dead = open(new Response());
    // What is small is taken by the connection, however dead the reader is.
    dead.closes = false;
    tell('success');
    expect([dead.ended, dead.destroyed]).toEqual([true, false]);
    jest.advanceTimersByTime(5 * HEARTBEAT_MS);
    expect([dead.destroyed, streams.count]).toEqual([true, 0]);
  });

  it('is not opened for a reader that has left meanwhile', () => {
    const gone = new Response();
    gone.destroy();
    open(gone);
    expect([streams.count, listeners.size]).toEqual([0, 0]);
  });
});

describe('streams at the end of the gateway', () => {
  it('ask readers to reconnect, at different times, and do not send the end event', () => {
    const responses = Array.from({ length: 100 }, () => open(new Response()));
    streams.closeAll();
    const retries = responses.map(({ wrote }) => Number(/^retry: (\d+)\n\n$/.exec(wrote.join(''))?.[1]));
    expect(Math.min(...retries)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...retries)).toBeLessThanOrEqual(2500);
    expect(Math.max(...retries) - Math.min(...retries)).toBeGreaterThan(1000);
    expect([streams.count, listeners.size]).toEqual([0, 0]);
  });

  it('are closed if opened late, and wait a second at most for a reader that takes nothing', () => {
    const dead = open(new Response(false));
    streams.closeAll();
    const late = open(new Response());
    expect(late.wrote.join('')).toMatch(/^retry: \d+\n\n$/);
    expect([late.destroyed, dead.destroyed]).toEqual([true, false]);
    jest.advanceTimersByTime(1000);
    expect([dead.destroyed, streams.count]).toEqual([true, 0]);
  });
});
