import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { Waiters, type QueuePosition, type Waiter } from '../../src/upstream/waiters.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

let clock: VirtualClock;
let waiters: Waiters;
let refused: [caller: string, error: GatewayError][];

beforeEach(() => {
  clock = new VirtualClock();
  waiters = new Waiters(clock);
  refused = [];
});

function waiter(caller: string, patienceMs: number): Waiter {
  return { caller, patienceMs, refuse: (error) => refused.push([caller, error]) };
}

function position(waitMs: number): QueuePosition {
  return { forecast: () => ({ waitMs, refusal: () => GatewayError.of('TooManyRequests') }) };
}

const refusedCallers = (): string[] => refused.map(([caller]) => caller);

describe('the waiters of a queued read', () => {
  it('are refused on joining it when the forecast exceeds their patience', () => {
    waiters.add(waiter('patient', 60_000));
    waiters.onEnqueued(position(30_000));
    waiters.add(waiter('hasty', 2000));
    expect(refusedCallers()).toEqual(['hasty']);
    expect(refused[0]?.[1].options.retryAfterMs).toBe(30_000);
  });

  it('get a forecast that counts their own caller: the turn may come sooner', () => {
    waiters.add(waiter('busy', 60_000));
    let waitMs = 30_000;
    waiters.onEnqueued({
      forecast: () => position(waitMs).forecast(),
      onCallersChanged: () => {
        waitMs = 10;
      },
    });
    waiters.add(waiter('other', 2000));
    expect(refusedCallers()).toEqual([]);
  });

  it('are refused when the read is queued again for longer than the patience that is left', async () => {
    waiters.add(waiter('patient', 5000));
    waiters.add(waiter('hasty', 1000));
    waiters.onEnqueued(position(500));
    await clock.advance(600);
    waiters.onDequeued();
    waiters.onEnqueued(position(500));
    expect(refusedCallers()).toEqual(['hasty']);
  });

  it('are refused when no call goes for longer than the patience that is left', async () => {
    waiters.add(waiter('patient', 5000));
    waiters.add(waiter('hasty', 1000));
    waiters.onEnqueued(position(0));
    await clock.advance(600);
    waiters.refuseImpatient(300);
    expect(refusedCallers()).toEqual([]);
    waiters.refuseImpatient(500);
    expect(refusedCallers()).toEqual(['hasty']);
  });
});
