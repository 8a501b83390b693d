import { describe, expect, it } from '@jest/globals';
import { Ledger } from '../../src/budget/ledger.ts';

describe('a ledger', () => {
  it('tells no send that does not count any more, though it was noted after newer ones', () => {
    const ledger = new Ledger([{ limit: 10, spanMs: 1000 }]);
    ledger.record(0, 'other:5', 900);
    ledger.record(0, 'other:4', 100);
    expect(ledger.missingIn(new Map(), 1500)).toEqual([[0, 'other:5', 600]]);
  });

  it('tells a block that a store has as of an earlier send', () => {
    const ledger = new Ledger([{ limit: 5000, spanMs: 10_000 }]);
    ledger.record(1, 'other:5', 5000);
    expect(ledger.missingIn(new Map([['1 other:5', 4990]]), 6000)).toEqual([]);
    expect(ledger.missingIn(new Map([['1 other:5', 3000]]), 6000)).toEqual([[1, 'other:5', 1000]]);
  });
});
