import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { HangDetector } from '../../src/store/hang-detector.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const timeout = new Error('Command timed out');
let given: string[];
let clock: VirtualClock;
let hangs: HangDetector;

beforeEach(() => {
  clock = new VirtualClock();
  given = [];
  const redis = {
    status: 'ready',
    emit: () => given.push('told'),
    disconnect: () => given.push('disconnected'),
  };
  hangs = new HangDetector(redis as unknown as Redis, () => 100, clock);
});

/** Many commands were under way when the event loop was blocked: all their timers fire in one pass. */
function burst(): boolean[] {
  return Array.from({ length: 5 }, () => hangs.failed(timeout));
}

describe('a Redis whose answers do not come in time', () => {
  it('is not away for one blocked moment, however many commands were under way', () => {
    expect(burst()).toEqual([false, false, false, false, false]);
    expect(given).toEqual([]);
  });

  it('is away when what was sent after a timeout times out as well, and again', async () => {
    burst();
    await clock.advance(99);
    burst();
    await clock.advance(99);
    expect(hangs.failed(timeout)).toBe(true);
    expect(given).toEqual(['told', 'disconnected']);
  });

  it('is not away when an answer came between, however often it is late', async () => {
    for (let times = 0; times < 10; times++) {
      burst();
      hangs.answered();
      await clock.advance(1000);
    }
    expect(given).toEqual([]);
  });
});
