import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { HangDetector } from '../../src/store/hang-detector.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const timeout = new Error('Command timed out');
let actions: string[];
let clock: VirtualClock;
let hangs: HangDetector;

beforeEach(() => {
  clock = new VirtualClock();
  actions = [];
  const redis = {
    status: 'ready',
    emit: () => actions.push('error emitted'),
    disconnect: () => actions.push('disconnected'),
  };
  hangs = new HangDetector(redis as unknown as Redis, () => 100, clock);
});

/** Timeouts of many commands in flight while the event loop was blocked: all their timers fire together. */
function timeOutTogether(): boolean[] {
  return Array.from({ length: 5 }, () => hangs.failed(timeout));
}

describe('a Redis whose replies are late', () => {
  it('stays connected after one blocked event loop, however many commands were in flight', () => {
    expect(timeOutTogether()).toEqual([false, false, false, false, false]);
    expect(actions).toEqual([]);
  });

  it('is disconnected after three consecutive timeouts', async () => {
    timeOutTogether();
    await clock.advance(99);
    timeOutTogether();
    await clock.advance(99);
    expect(hangs.failed(timeout)).toBe(true);
    expect(actions).toEqual(['error emitted', 'disconnected']);
  });

  it('stays connected when replies come between timeouts', async () => {
    for (let times = 0; times < 10; times++) {
      timeOutTogether();
      hangs.answered();
      await clock.advance(1000);
    }
    expect(actions).toEqual([]);
  });
});
