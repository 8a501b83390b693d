import { describe, expect, it } from '@jest/globals';
import { Ledger } from '../../src/budget/ledger.ts';

describe('a ledger', () => {
  it('does not list as missing a send that has expired, even if it was recorded after newer ones', () => {
    const ledger = new Ledger([{ limit: 10, spanMs: 1000 }]);
    ledger.record(0, 'other:5', 900);
    ledger.record(0, 'other:4', 100);
    expect(ledger.missingIn(new Map(), 1500)).toEqual([[0, 'other:5', 600]]);
  });

  it('lists as missing a block whose latest send is not in the store', () => {
    const ledger = new Ledger([{ limit: 5000, spanMs: 10_000 }]);
    ledger.record(1, 'other:5', 5000);
    expect(ledger.missingIn(new Map([['1 other:5', 4990]]), 6000)).toEqual([]);
    expect(ledger.missingIn(new Map([['1 other:5', 3000]]), 6000)).toEqual([[1, 'other:5', 1000]]);
  });
});
