import { describe, expect, it } from '@jest/globals';
import {
  type Exchange,
  type Layer,
  type SharedRead,
  stack,
  withForecast,
} from '../../src/upstream/exchange.ts';
import { tooManyRequests } from '../../src/upstream/forecast.ts';
import { sharedRead, UPSTREAM_ANSWER } from '../support/shared-reads.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const passesOn: Layer<SharedRead> = (next) => (read) => next(read);
const transport: Exchange<SharedRead> = () => Promise.resolve(UPSTREAM_ANSWER);

function queueOf(waitMs: number): Layer<SharedRead> {
  const forecast = () => ({ waitMs, refusal: () => tooManyRequests(waitMs) });
  return (next) => withForecast(next, forecast);
}

describe('a stack of layers', () => {
  it('hands the forecast of the queue to the layers outside it', async () => {
    const read = sharedRead(new VirtualClock());
    const exchange = stack([passesOn, passesOn, queueOf(700), passesOn], transport);
    expect(exchange.forecast?.(read).waitMs).toBe(700);
    expect(await exchange(read)).toBe(UPSTREAM_ANSWER);
  });

  it('has no forecast without a queue', () => {
    expect(stack([passesOn], transport).forecast).toBeUndefined();
  });
});
