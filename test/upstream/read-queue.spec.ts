import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ReadQueue, type Ticket } from '../../src/upstream/read-queue.ts';

interface Named extends Ticket {
  readonly id: string;
  callers: string[];
}

const NEVER_FULL = 1000;

/** A miss of the callers that its id names: `ab1` is waited for by a and b. */
function miss(id: string, options: Partial<Named> = {}): Named {
  const callers = id.replaceAll(/[^a-z]/g, '').split('');
  return { id, callers, isRetry: false, staleCopy: undefined, mustRevalidate: false, ...options };
}

const refresh = (id: string, readAt: number, isRetry = false): Named =>
  miss(id, { staleCopy: { readAt }, isRetry });
const revalidation = (id: string): Named => miss(id, { staleCopy: { readAt: 0 }, mustRevalidate: true });

function queueOf(tickets: readonly Named[], limit = NEVER_FULL, callerLimit = limit): ReadQueue<Named> {
  const queue = new ReadQueue<Named>(limit, callerLimit);
  for (const ticket of tickets) queue.enqueue(ticket);
  return queue;
}

function drain(queue: ReadQueue<Named>): Named[] {
  const tickets: Named[] = [];
  for (let next = queue.dequeue(); next; next = queue.dequeue()) tickets.push(next);
  return tickets;
}

const ids = (queue: ReadQueue<Named>): string =>
  drain(queue)
    .map(({ id }) => id)
    .join(' ');

describe('the order of the read queue', () => {
  it('serves callers in turn, each in order of arrival', () => {
    expect(ids(queueOf(['a1', 'a2', 'a3', 'b1', 'c1', 'c2'].map((id) => miss(id))))).toBe(
      'a1 b1 c1 a2 c2 a3',
    );
  });

  it("serves a retry first among its caller's reads", () => {
    expect(ids(queueOf([miss('a1'), miss('b1'), miss('a2', { isRetry: true })]))).toBe('a2 b1 a1');
  });

  it('serves a read of two callers once, when the first of them has its turn', () => {
    const shared = miss('a4');
    const queue = queueOf([miss('a1'), miss('a2'), miss('a3'), shared]);
    shared.callers = ['a', 'b'];
    queue.updateCallers(shared);
    expect(ids(queue)).toBe('a1 a4 a2 a3');
  });

  it('keeps a shared read for the callers that still wait, and removes it with the last of them', () => {
    const shared = miss('ab1');
    const queue = queueOf([shared]);
    shared.callers = ['b'];
    queue.updateCallers(shared);
    expect([queue.size, queue.positionForNew(miss('b2'))]).toEqual([1, 1]);
    shared.callers = [];
    queue.updateCallers(shared);
    expect([queue.size, queue.dequeue()]).toEqual([0, undefined]);
  });

  it('serves one refresh for three misses', () => {
    const misses = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7'].map((id) => miss(id));
    const refreshes = [1, 2, 3].map((readAt) => refresh(`R${readAt}`, readAt));
    expect(ids(queueOf([...refreshes, ...misses]))).toBe('a1 a2 a3 R1 a4 a5 a6 R2 a7 R3');
  });

  it('serves the refresh of the oldest copy first, and retries before that', () => {
    const refreshes = [
      refresh('young', 3),
      refresh('old', 1),
      refresh('middle', 2),
      refresh('retry', 4, true),
    ];
    expect(ids(queueOf(refreshes))).toBe('retry old middle young');
  });

  it('serves revalidations in turn with refreshes, fair among callers', () => {
    const flood = ['x1', 'x2', 'x3', 'x4'].map(revalidation);
    const refreshes = [1, 2, 3].map((readAt) => refresh(`R${readAt}`, readAt));
    expect(ids(queueOf([...flood, revalidation('y1'), ...refreshes]))).toBe('R1 x1 R2 y1 R3 x2 x3 x4');
  });

  it('forgets removed tickets and their callers', () => {
    const tickets = [miss('a1'), refresh('R', 1), revalidation('b1')];
    const queue = queueOf(tickets);
    for (const ticket of [...tickets, ...tickets]) queue.remove(ticket);
    expect([queue.size, queue.dequeue(), queue.positionForNew(miss('a2'))]).toEqual([0, undefined, 0]);
  });
});

describe('a full queue', () => {
  it('evicts the newest read of the caller with most', () => {
    const queue = queueOf(
      ['a1', 'a2', 'a3'].map((id) => miss(id)),
      3,
    );
    expect(queue.enqueue(miss('b1'))?.id).toBe('a3');
    expect(queue.enqueue(miss('a4'))?.id).toBe('a4');
    expect(ids(queue)).toBe('a1 b1 a2');
  });

  it('evicts a read that only a flood shares before that of a caller without a flood', () => {
    const queue = queueOf(
      ['ab1', 'ab2', 'ab3'].map((id) => miss(id)),
      3,
    );
    expect(queue.enqueue(miss('c1'))?.id).toBe('ab3');
    expect(ids(queue)).toBe('ab1 ab2 c1');
  });

  it('evicts the refresh of the youngest copy for a miss, and takes no other refresh', () => {
    const queue = queueOf([refresh('old', 1), refresh('young', 2)], 2);
    expect(queue.enqueue(refresh('late', 0))?.id).toBe('late');
    expect(queue.enqueue(miss('a1'))?.id).toBe('young');
    expect(queue.enqueue(miss('a2'))?.id).toBe('old');
    expect(queue.enqueue(miss('b1'))?.id).toBe('a2');
    expect(ids(queue)).toBe('a1 b1');
  });

  it('evicts a revalidation for a miss', () => {
    const queue = queueOf(['x1', 'x2'].map(revalidation), 2);
    expect(queue.enqueue(miss('a1'))?.id).toBe('x2');
  });

  it('takes retries all the same, and never evicts them', () => {
    const queue = queueOf([miss('a1', { isRetry: true }), miss('a2', { isRetry: true })], 1);
    expect(queue.size).toBe(2);
    expect(queue.enqueue(miss('b1'))?.id).toBe('b1');
  });

  it('takes as many reads of one caller as the limit says, retries and refreshes aside', () => {
    const queue = queueOf([refresh('R', 1), miss('a1'), miss('a2'), miss('b1')], 20, 2);
    expect(queue.enqueue(miss('a3'))?.id).toBe('a3');
    expect(queue.enqueue(miss('a4', { isRetry: true }))).toBeUndefined();
    expect(queue.enqueue(miss('ab5'))).toBeUndefined();
    expect(queue.enqueue(refresh('S', 2))).toBeUndefined();
    expect([queue.dequeue()?.id, queue.size]).toEqual(['a4', 6]);
  });

  it('evicts nothing for a caller that has as many reads as it may', () => {
    const queue = queueOf([refresh('R', 1), miss('a1'), miss('a2')], 3, 2);
    expect(queue.enqueue(miss('a3'))?.id).toBe('a3');
    expect(queue.size).toBe(3);
  });
});

type Step =
  | { readonly do: 'enqueue'; readonly ticket: Omit<Named, 'id'> }
  | { readonly do: 'dequeue' }
  | { readonly do: 'remove' | 'rejoin'; readonly which: number; readonly callers: string[] };

const callers = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 3 });
const oneCaller = fc.constantFrom('a', 'b', 'c', 'd').map((caller) => [caller]);

function tickets(ofCallers: fc.Arbitrary<string[]>): fc.Arbitrary<Omit<Named, 'id'>> {
  const isRetry = fc.integer({ min: 0, max: 5 }).map((drawn) => drawn === 0);
  const staleCopy = fc.option(fc.record({ readAt: fc.integer({ min: 0, max: 5 }) }), { nil: undefined });
  return fc.record({ callers: ofCallers, isRetry, staleCopy, mustRevalidate: fc.boolean() });
}

function steps(ofCallers: fc.Arbitrary<string[]>): fc.Arbitrary<Step[]> {
  const enqueue = fc.record({ do: fc.constant('enqueue' as const), ticket: tickets(ofCallers) });
  const change = fc.record({
    do: fc.constantFrom('remove' as const, 'rejoin' as const),
    which: fc.nat(20),
    callers: ofCallers,
  });
  const dequeue = fc.record({ do: fc.constant('dequeue' as const) });
  return fc.array(
    fc.oneof(
      { weight: 5, arbitrary: enqueue },
      { weight: 2, arbitrary: dequeue },
      { weight: 1, arbitrary: change },
    ),
    { maxLength: 60 },
  );
}

/** The queue after some steps; equal steps make equal queues. */
function after(some: readonly Step[], limit: number): ReadQueue<Named> {
  const queue = new ReadQueue<Named>(limit);
  for (const [index, step] of some.entries()) {
    if (step.do === 'enqueue') queue.enqueue({ ...step.ticket, id: String(index) });
    else if (step.do === 'dequeue') queue.dequeue();
    else {
      const queued = [...queue];
      const ticket = queued[step.which % Math.max(1, queued.length)];
      if (!ticket) continue;
      if (step.do === 'rejoin') ticket.callers = [...step.callers];
      if (step.do === 'rejoin') queue.updateCallers(ticket);
      else queue.remove(ticket);
    }
  }
  return queue;
}

describe.each([
  ['of one caller each', oneCaller],
  ['that several callers share', callers],
])('the positions of reads %s', (_, ofCallers) => {
  it.each([NEVER_FULL, 8])('are the order in which they are served (limit %i)', (limit) => {
    fc.assert(
      fc.property(steps(ofCallers), (some) => {
        const queue = after(some, limit);
        const positions = new Map([...queue].map((ticket) => [ticket.id, queue.positionOf(ticket)]));
        const order = drain(queue).map(({ id }) => id);
        expect(order.map((id) => positions.get(id))).toEqual(order.map((__, index) => index));
        expect(positions.size).toBe(order.length);
      }),
      { numRuns: 400 },
    );
  });

  it('are known before they are queued, which changes nothing', () => {
    fc.assert(
      fc.property(steps(ofCallers), tickets(ofCallers), (some, drawn) => {
        const ticket = { ...drawn, id: 'new' };
        const queue = after(some, NEVER_FULL);
        const position = queue.positionForNew(ticket);
        const unchanged = after(some, NEVER_FULL);
        unchanged.enqueue(ticket);
        expect(drain(unchanged).indexOf(ticket)).toBe(position);
        expect(ids(queue)).toBe(ids(after(some, NEVER_FULL)));
      }),
      { numRuns: 400 },
    );
  });
});

describe('a long queue', () => {
  it('knows a position without going through it', () => {
    const queue = queueOf(
      Array.from({ length: 10_000 }, (_, index) => miss(`a${index}`)),
      20_000,
    );
    const started = performance.now();
    for (let count = 0; count < 1000; count++) expect(queue.positionForNew(miss('a'))).toBe(10_000);
    // Some 10 ms; a walk through all tickets would take seconds.
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
