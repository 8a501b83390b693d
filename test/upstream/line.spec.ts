import { describe, expect, it } from '@jest/globals';
import { Line, type Ticket } from '../../src/upstream/line.ts';

interface Named extends Ticket {
  readonly name: string;
}

const first = (name: string, caller = 'caller'): Named => ({
  name,
  callers: [caller],
  again: false,
  refreshes: undefined,
  strict: false,
});
const refresh = (name: string, readAt: number, again = false): Named => ({
  name,
  callers: ['caller'],
  again,
  refreshes: readAt,
  strict: false,
});

function fill(limit: number, tickets: readonly Named[]): Line<Named> {
  const line = new Line<Named>(limit);
  for (const ticket of tickets) line.enter(ticket);
  return line;
}

function taken(line: Line<Named>): string {
  const names: string[] = [];
  for (let ticket = line.next(); ticket; ticket = line.next()) names.push(ticket.name);
  return names.join(' ');
}

describe('the line before upstream', () => {
  it('lets refreshes go behind first reads, one in four', () => {
    const firsts = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => first(name));
    expect(taken(fill(20, [refresh('R', 1), refresh('S', 2), refresh('T', 3), ...firsts]))).toBe(
      'a b c R d e f S g T',
    );
  });

  it('takes the oldest copy first, and one that has been upstream before all others', () => {
    expect(
      taken(
        fill(20, [
          refresh('young', 30),
          refresh('old', 10),
          refresh('middle', 20),
          refresh('again', 40, true),
        ]),
      ),
    ).toBe('again old middle young');
  });

  it('turns away a refresh when it is full: the one that comes, or the youngest for a first read', () => {
    const line = fill(2, [refresh('old', 1), refresh('young', 2)]);
    const late = refresh('late', 0);
    expect(line.enter(late)).toBe(late);
    expect(line.enter(first('a'))?.name).toBe('young');
    expect(line.enter(first('b'))?.name).toBe('old');
    expect(line.enter(first('c', 'other'))?.name).toBe('b');
    expect(taken(line)).toBe('a c');
  });

  it('has room for so many of one caller, whoever has been upstream before and refreshes aside', () => {
    const line = new Line<Named>(20, 2);
    const late = first('late');
    for (const ticket of [refresh('R', 1), first('a'), first('b'), first('other', 'other')])
      expect(line.enter(ticket)).toBeUndefined();
    expect(line.enter(late)).toBe(late);
    expect(line.enter({ ...first('again'), again: true })).toBeUndefined();
    expect(line.enter({ ...first('shared'), callers: ['caller', 'other'] })).toBeUndefined();
    expect(line.enter(refresh('S', 2))).toBeUndefined();
    expect(line.next()?.name).toBe('again');
    expect(line.size).toBe(6);
  });

  it('turns nobody else away for one whose caller has as many as it may', () => {
    const line = new Line<Named>(3, 2);
    for (const ticket of [refresh('R', 1), first('a'), first('b')]) line.enter(ticket);
    const late = first('late');
    expect(line.enter(late)).toBe(late);
    expect(line.size).toBe(3);
  });

  it('knows how many go before each that waits, and before one that would come', () => {
    const tickets = [
      ...['a', 'b', 'c', 'd', 'e'].map((name) => first(name)),
      refresh('R', 1),
      refresh('S', 2),
    ];
    const before = (name: string): number =>
      fill(20, tickets).before(tickets.find((ticket) => ticket.name === name)!);
    const order = taken(fill(20, tickets)).split(' ');
    for (const { name } of tickets) expect([name, before(name)]).toEqual([name, order.indexOf(name)]);
    expect(fill(20, tickets).ahead(['caller'])).toBe(6);
    expect(fill(20, tickets).aheadOfRefresh(1.5)).toBe(6);
  });

  it('lets those who want newer copies have every other turn of the refreshes, fair among callers', () => {
    const strict = (name: string, caller: string): Named => ({
      ...refresh(name, 0),
      callers: [caller],
      strict: true,
    });
    const flood = ['x1', 'x2', 'x3', 'x4'].map((name) => strict(name, 'flood'));
    const tickets = [...flood, strict('y', 'other'), refresh('R', 1), refresh('S', 2), refresh('T', 3)];
    expect(taken(fill(20, tickets))).toBe('R x1 S y T x2 x3 x4');
    const before = (name: string): number =>
      fill(20, tickets).before(tickets.find((ticket) => ticket.name === name)!);
    expect(['R', 'x1', 'S', 'y', 'T', 'x2'].map(before)).toEqual([0, 1, 2, 3, 4, 5]);
    // A first read finds room where one caller asks for too many newer copies.
    const full = fill(4, flood);
    expect(full.enter(first('a', 'other'))?.name).toBe('x4');
  });

  it('lets those leave that wait no longer', () => {
    const [one, other] = [refresh('R', 1), first('a')];
    const line = fill(20, [one, other]);
    line.leave(one);
    line.leave(other);
    expect([line.size, line.next()]).toEqual([0, undefined]);
  });
});
