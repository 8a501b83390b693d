import { beforeEach, describe, expect, it } from '@jest/globals';
import { Announcer } from '../../src/store/announcer.ts';
import type { SharedReadMessage } from '../../src/store/replica-messages.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const END: SharedReadMessage = { kind: 'stored', finished: true, missing: false };

let clock: VirtualClock;
let published: string[];
let attempts: number;
let faults: number;
/** Whether Redis takes messages. */
let isUp: boolean;
let announcer: Announcer;

beforeEach(() => {
  clock = new VirtualClock();
  [published, attempts, faults, isUp] = [[], 0, 0, true];
  const publish = async (_channel: string, message: string) => {
    attempts++;
    if (!isUp) throw new Error('Connection is closed.');
    return published.push(message);
  };
  announcer = new Announcer({
    redis: { publish },
    channel: 'reads',
    onFault: () => faults++,
    clock,
  });
});

/** When the announcement resolves, on the clock. */
function announced(jobId: string, message: SharedReadMessage): { at: number | undefined } {
  const end: { at: number | undefined } = { at: undefined };
  void announcer.announce(jobId, message).then(() => (end.at = clock.now()));
  return end;
}

describe('the end of a job that could not be published', () => {
  it('is published as soon as Redis takes it, once, and no reader waits for that', async () => {
    isUp = false;
    const first = announced('a-job', END);
    await clock.advance(5000);
    expect(first.at).toBe(0);
    isUp = true;
    await clock.advance(1000);
    expect(published).toHaveLength(1);
    expect(faults).toBe(1);
    await clock.advance(120_000);
    expect(published).toHaveLength(1);
  });

  it('is given up after a minute of few attempts', async () => {
    isUp = false;
    announced('a-job', END);
    await clock.advance(600_000);
    isUp = true;
    await clock.advance(600_000);
    expect(published).toEqual([]);
    expect(attempts).toBeLessThan(70);
  });

  it('is forgotten when a thousand others have ended since', async () => {
    isUp = false;
    for (let job = 0; job <= 1000; job++) announced(`job-${job}`, END);
    await clock.advance(10);
    isUp = true;
    await clock.advance(1000);
    expect(published).toHaveLength(1000);
    expect(published[0]).toContain('job-1 ');
  });
});

describe('another message that could not be published', () => {
  it.each<SharedReadMessage>([
    { kind: 'sent' },
    { kind: 'free' },
    { kind: 'stored', finished: false, missing: false },
  ])('is not published later: %o', async (message) => {
    isUp = false;
    expect(announced('a-job', message).at).toBeUndefined();
    await clock.advance(0);
    isUp = true;
    await clock.advance(10_000);
    expect([attempts, published]).toEqual([1, []]);
  });
});
