import { describe, expect, it } from '@jest/globals';
import { RoundTrip } from '../src/round-trip.ts';

function after(...samples: number[]): RoundTrip {
  const roundTrip = new RoundTrip();
  for (const sample of samples) roundTrip.observe(sample);
  return roundTrip;
}

describe('the timeout of a command', () => {
  it('is 100 ms while nothing is known, and for a near server', () => {
    expect(after().timeoutMs).toBe(100);
    expect(after(...Array<number>(50).fill(1)).timeoutMs).toBeCloseTo(101, 0);
  });

  it('leaves room for jitter around a far server from the first sample on', () => {
    const samples = Array.from({ length: 200 }, (_, index) => 60 + ((index * 37) % 81));
    const roundTrip = new RoundTrip();
    for (const sample of samples) {
      roundTrip.observe(sample);
      expect(roundTrip.timeoutMs).toBeGreaterThan(140);
    }
    expect(roundTrip.timeoutMs).toBeLessThan(300);
  });

  it('is a second at most', () => {
    expect(after(5000).timeoutMs).toBe(1000);
  });
});
