import { describe, expect, it } from '@jest/globals';
import { FairLine, type Ticket } from '../../src/upstream/fair-line.ts';

interface Named extends Ticket {
  readonly id: string;
}

const ticket = (id: string, callers: string[], again = false): Named => ({ id, callers, again });

/** Takes everyone out, in order. */
function order(line: FairLine<Named>): string[] {
  const ids: string[] = [];
  for (let next = line.next(); next; next = line.next()) ids.push(next.id);
  return ids;
}

describe('the fair line', () => {
  it('takes from each caller in turn, each in order of arrival', () => {
    const line = new FairLine<Named>(100);
    for (const id of ['a1', 'a2', 'a3', 'b1', 'c1', 'c2']) line.enter(ticket(id, [id[0] ?? '']));
    expect(order(line)).toEqual(['a1', 'b1', 'c1', 'a2', 'c2', 'a3']);
  });

  it('lets one that has been at the front before go first in its line', () => {
    const line = new FairLine<Named>(100);
    line.enter(ticket('a1', ['a']));
    line.enter(ticket('a2', ['a'], true));
    expect(order(line)).toEqual(['a2', 'a1']);
  });

  it('sends a read that two callers wait for when the first of them has its turn, once', () => {
    const line = new FairLine<Named>(100);
    for (const id of ['a1', 'a2', 'a3']) line.enter(ticket(id, ['a']));
    const callers = ['a'];
    const shared: Named = { id: 'shared', callers, again: false };
    line.enter(shared);
    callers.push('b');
    line.callersChanged(shared);
    expect(order(line)).toEqual(['a1', 'shared', 'a2', 'a3']);
  });

  it('keeps a read for those who still wait when a caller leaves it', () => {
    const line = new FairLine<Named>(100);
    const callers = ['a', 'b'];
    const shared: Named = { id: 'shared', callers, again: false };
    line.enter(shared);
    callers.shift();
    line.callersChanged(shared);
    expect(line.size).toBe(1);
    expect(line.ahead('b')).toBe(1);
    callers.shift();
    line.callersChanged(shared);
    expect(line.size).toBe(0);
    expect(line.next()).toBeUndefined();
  });

  it('when full, turns away the last of the caller with most waiting', () => {
    const line = new FairLine<Named>(3);
    const [first, last] = [ticket('a1', ['a']), ticket('a3', ['a'])];
    line.enter(first);
    line.enter(ticket('a2', ['a']));
    line.enter(last);
    expect(line.enter(ticket('b1', ['b']))).toBe(last);
    const fourth = ticket('a4', ['a']);
    expect(line.enter(fourth)).toBe(fourth);
    expect(order(line)).toEqual(['a1', 'b1', 'a2']);
  });

  it('when full of reads that a flood shares, turns away the last of those, not who comes new', () => {
    const line = new FairLine<Named>(3);
    for (const id of ['f1', 'f2', 'f3']) line.enter(ticket(id, ['a', 'b']));
    const turnedAway = line.enter(ticket('c1', ['c']));
    expect(turnedAway?.id).toBe('f3');
    expect(line.size).toBe(3);
    expect(order(line)).toEqual(['f1', 'f2', 'c1']);
  });

  it('counts who would go before a new read: own ones, and one of each other caller for each of those', () => {
    const line = new FairLine<Named>(100);
    for (const id of ['a1', 'a2', 'a3', 'a4', 'b1', 'b2']) line.enter(ticket(id, [id[0] ?? '']));
    expect(line.ahead('a')).toBe(6);
    expect(line.ahead('b')).toBe(5);
    expect(line.ahead('c')).toBe(2);
  });

  it('knows in which order they would go, those that several wait for once', () => {
    const line = new FairLine<Named>(100);
    for (const id of ['a1', 'a2', 'b1']) line.enter(ticket(id, [id[0] ?? '']));
    line.enter(ticket('ab', ['a', 'b']));
    line.enter(ticket('a0', ['a'], true));
    line.enter(ticket('c1', ['c']));
    line.next();
    const expected = [...line];
    expect(expected.map((named) => line.before(named))).toEqual(expected.map((_, index) => index));
    expect(order(line)).toEqual(expected.map(({ id }) => id));
  });

  it('knows the order at every step, whoever comes, goes, comes again or joins another', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const line = new FairLine<Named>(1000);
      const random = (below: number): number => (seed * 7919 + line.size * 104_729 + ++drawn * 31) % below;
      let drawn = 0;
      for (let step = 0; step < 60; step++) {
        const caller = 'abcd'[random(4)]!;
        if (random(5) === 0) line.next();
        else if (random(7) === 0) line.leave([...line][0]!);
        else if (seed > 10 && random(6) === 0) line.enter(ticket(`${step}`, [caller, 'e']));
        else line.enter(ticket(`${step}`, [caller], random(6) === 0));
        const expected = [...line];
        expect(expected.map((one) => line.before(one))).toEqual(expected.map((_, index) => index));
      }
    }
  });

  it('forgets callers of whom nobody waits', () => {
    const line = new FairLine<Named>(100);
    const waiting = ticket('a1', ['a']);
    line.enter(waiting);
    line.leave(waiting);
    line.leave(waiting);
    expect(line.size).toBe(0);
    expect(line.ahead('a')).toBe(0);
  });
});
