import { describe, expect, it } from '@jest/globals';
import { Ledger } from '../../src/budget/ledger.ts';

describe('a ledger', () => {
  it('tells no send that does not count any more, though it was noted after newer ones', () => {
    const ledger = new Ledger([{ limit: 10, spanMs: 1000 }]);
    ledger.note(0, 'other:5', 900);
    ledger.note(0, 'other:4', 100);
    expect(ledger.missingIn(new Set(), 1500)).toEqual([[0, 'other:5', 600]]);
  });
});
