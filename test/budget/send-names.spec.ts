import { describe, expect, it } from '@jest/globals';
import { SendNames } from '../../src/budget/send-names.ts';

const counted = (): boolean => true;

describe('names of sends', () => {
  it('use a place again under another name, once it is free and its block counts', () => {
    const names = new SendNames();
    expect(names.reserve(3, counted)).toEqual(['0', '1', '2']);
    names.free(['1']);
    expect(names.reserve(1, () => false)).toEqual(['3']);
    expect(names.reserve(2, counted)).toEqual(['1.1', '4']);
    names.free(['1.1']);
    expect(names.reserve(1, counted)).toEqual(['1.2']);
  });

  it('that were not granted leave no gap', () => {
    const names = new SendNames();
    names.reserve(2, counted);
    names.free(['0']);
    const [again, ...fresh] = names.reserve(4, counted);
    expect(fresh).toEqual(['2', '3', '4']);
    names.release([again!, ...fresh].slice(2));
    expect(names.reserve(2, counted)).toEqual(['3', '4']);
    names.release([again!]);
    expect(names.reserve(1, counted)).toEqual(['0.2']);
  });
});
