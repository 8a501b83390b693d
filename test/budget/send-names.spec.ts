import { describe, expect, it } from '@jest/globals';
import { blockOf, convertBlock } from '../../src/budget/send-blocks.ts';
import { SendNames } from '../../src/budget/send-names.ts';

const counted = (): boolean => true;

describe('names of sends', () => {
  it('reuse a place under another name once it is free and its block counts', () => {
    const names = new SendNames();
    expect(names.reserve(3, counted)).toEqual(['0', '1', '2']);
    names.free(['1']);
    expect(names.reserve(1, () => false)).toEqual(['3']);
    expect(names.reserve(2, counted)).toEqual(['1.1', '4']);
    names.free(['1.1']);
    expect(names.reserve(1, counted)).toEqual(['1.2']);
  });

  it('belong to the block of their place, also after a conversion to another size', () => {
    expect([0, 1, 2].map((size) => blockOf('one', '21.7', size))).toEqual(['one:21.7', 'one:5', 'one:1']);
    expect(convertBlock('one:21.7', 0, 1)).toEqual(['one:5']);
    expect(convertBlock('one:5', 1, 0)).toEqual(['one:20', 'one:21', 'one:22', 'one:23']);
  });

  it('that were not granted leave no gap', () => {
    const names = new SendNames();
    names.reserve(2, counted);
    names.free(['0']);
    const [reused, ...fresh] = names.reserve(4, counted);
    expect(fresh).toEqual(['2', '3', '4']);
    names.unreserve([reused!, ...fresh].slice(2));
    expect(names.reserve(2, counted)).toEqual(['3', '4']);
    names.unreserve([reused!]);
    expect(names.reserve(1, counted)).toEqual(['0.2']);
  });
});
