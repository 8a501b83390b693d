import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { Waiters, type QueuePosition, type Waiter } from '../../src/upstream/waiters.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

let clock: VirtualClock;
let refused: [caller: string, error: GatewayError][];

beforeEach(() => {
  clock = new VirtualClock();
  refused = [];
});

function waiter(caller: string, patienceMs: number): Waiter {
  return { caller, patienceMs, refuse: (error) => refused.push([caller, error]) };
}

function place(forecastMs: number): QueuePosition {
  return {
    forecastMs: () => forecastMs,
    refusal: () => GatewayError.of('TooManyRequests'),
    onCallersChanged: () => undefined,
  };
}

const names = (): string[] => refused.map(([caller]) => caller);

describe('those who wait for a read', () => {
  it('are refused at once when they join it in line and its turn comes after their patience', () => {
    const party = new Waiters(clock);
    party.add(waiter('patient', 60_000));
    party.onEnqueued(place(30_000));
    party.add(waiter('hasty', 2000));
    expect(names()).toEqual(['hasty']);
    expect(refused[0]?.[1].options.retryAfterMs).toBe(30_000);
  });

  it('are forecast for with their own caller counted in: its turn may come sooner', () => {
    const party = new Waiters(clock);
    party.add(waiter('busy', 60_000));
    const turns = { forecastMs: 30_000 };
    const soonerForMore = () => (turns.forecastMs = 10);
    party.onEnqueued({ ...place(0), forecastMs: () => turns.forecastMs, onCallersChanged: soonerForMore });
    party.add(waiter('other', 2000));
    expect(names()).toEqual([]);
  });

  it('are refused each alone when the read stands in line again and comes after what is left of their patience', async () => {
    const party = new Waiters(clock);
    party.add(waiter('patient', 5000));
    party.add(waiter('hasty', 1000));
    party.onEnqueued(place(500));
    await clock.advance(600);
    party.onDequeued();
    party.onEnqueued(place(500));
    expect(names()).toEqual(['hasty']);
  });

  it('are refused when they learn that nothing goes for longer', async () => {
    const party = new Waiters(clock);
    party.add(waiter('patient', 5000));
    party.add(waiter('hasty', 1000));
    party.onEnqueued(place(0));
    await clock.advance(600);
    party.onExpectedWait(300);
    expect(names()).toEqual([]);
    party.onExpectedWait(500);
    expect(names()).toEqual(['hasty']);
  });
});
