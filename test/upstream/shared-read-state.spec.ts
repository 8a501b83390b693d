import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { SharedReadState } from '../../src/upstream/shared-read-state.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

let clock: VirtualClock;
let state: SharedReadState;
let refused: string[];

beforeEach(() => {
  clock = new VirtualClock();
  state = new SharedReadState(clock);
  refused = [];
  state.waiters.add({
    caller: 'tester',
    patienceMs: 1000,
    refuse: ({ body }) => refused.push(body.code),
  });
});

const position = {
  forecast: () => ({ waitMs: 0, refusal: () => GatewayError.of('TooManyRequests') }),
};

describe('the state of a shared read', () => {
  it('tells its observers of each change of phase once', () => {
    const phases: string[] = [];
    const unobserve = state.observe({ onPhase: (phase) => phases.push(phase) });
    state.queue();
    state.queue(position);
    state.call();
    state.call();
    state.fail({ status: 503 });
    state.queue(position);
    state.call();
    state.store();
    expect(phases).toEqual(['queued', 'called', 'failed', 'queued', 'called', 'stored']);
    unobserve();
    state.queue();
    expect(phases).toHaveLength(6);
  });

  it('lets patience run in a queue alone: not before, and not while a call is under way', async () => {
    state.queue();
    await clock.advance(10_000);
    state.queue(position);
    await clock.advance(600);
    state.call();
    await clock.advance(10_000);
    expect(refused).toEqual([]);
    state.queue(position);
    await clock.advance(400);
    expect(refused).toEqual(['TooManyRequests']);
  });

  it('refuses impatient waiters when no call goes, and not for a forecast that may improve', () => {
    const expected: number[] = [];
    state.observe({ onExpectedWait: (waitMs) => expected.push(waitMs) });
    state.queue(position);
    state.expectCall(5000);
    expect(refused).toEqual([]);
    state.block(5000);
    expect([refused, expected]).toEqual([['TooManyRequests'], [5000, 5000]]);
  });

  it('remembers how its latest failed call ended', () => {
    state.fail({ status: 503 });
    state.queue();
    expect(state.lastFailure).toEqual({ status: 503 });
  });
});
