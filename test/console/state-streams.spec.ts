import type { ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { StateStreams } from '../../src/console/state-streams.ts';
import { until } from '../support/until.ts';

describe('a slow reader of the state stream', () => {
  it('gets the latest state when it reads again, and no backlog', async () => {
    let now = 0;
    const streams = new StateStreams(() => Promise.resolve(String(++now)));
    const response = new PassThrough({ highWaterMark: 1 });
    const ended = streams.stream(response as unknown as ServerResponse, () => Promise.resolve(true));
    await until('a state is written', () => response.readableLength > 0);
    // Two and a half states' time.
    await delay(2500);
    expect(now).toBe(1);
    now = 100;
    response.setEncoding('utf8');
    let read = '';
    response.on('data', (text: string) => (read += text));
    await until('it goes on', () => read.includes('101'));
    expect(read).toBe('event: state\ndata: 1\n\nevent: state\ndata: 101\n\n');
    streams.end();
    await ended;
    expect(response.writableEnded).toBe(true);
    expect(() => streams.admit()).toThrow('unavailable');
  });
});
