import { describe, expect, it } from '@jest/globals';
import { type ReadAnnouncements, Copies, type SharedCopies } from '../../src/upstream/copies.ts';
import { type Copy, parseJob } from '../../src/upstream/copy.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const lifetimes = { finishedMs: 3_600_000, activeMs: 5000, staleMs: 3_600_000, missingMs: 10_000 };
const job = (state: string): Copy =>
  parseJob(
    'a-job',
    Buffer.from(`{"job":{"id":"a-job","state":"${state}"}}`),
    'application/json',
    performance.now(),
  )!;

describe('a look-up in the shared store', () => {
  it('is repeated when another replica has read the job meanwhile', async () => {
    const looks: ((copy: Copy) => void)[] = [];
    const shared = {
      get: () => new Promise<Copy>((resolve) => looks.push(resolve)),
    } as unknown as SharedCopies;
    let announce: Parameters<ReadAnnouncements>[0] = () => undefined;
    const copies = new Copies({
      lifetimes,
      maxBytes: 2 ** 20,
      shared,
      onReadElsewhere: (tell) => (announce = tell),
    });
    const [active, success] = [job('active'), job('success')];
    const told: Copy[] = [];
    copies.watch('a-job', (copy) => told.push(copy));
    const found = copies.find('a-job');
    announce('a-job', true, undefined);
    expect(looks).toHaveLength(2);
    looks[0]!(active);
    looks[1]!(success);
    expect((await found)?.copy).toBe(success);
    expect(copies.peekMemory('a-job')?.copy).toBe(success);
    expect(told).toEqual([success]);
    // That look-up is over: the next one makes a request of its own.
    void copies.find('a-job');
    expect(looks).toHaveLength(3);
  });
});

describe('a finished job in memory', () => {
  it('is replaced by a later document of the same job, and by no earlier one', async () => {
    const copies = new Copies({ lifetimes, maxBytes: 2 ** 20 });
    const document = (readAt: number) => ({ ...job('success'), readAt });
    const now = performance.now();
    const [earliest, held, later] = [document(now - 2), document(now - 1), document(now)];
    for (const [put, kept] of [
      [held, held],
      [earliest, held],
      [later, later],
    ] as const) {
      expect(await copies.put('a-job', put, undefined)).toBe(kept);
      expect(copies.peekMemory('a-job')?.copy).toBe(kept);
    }
  });

  it('is removed when a replica has stored another final document, and otherwise not', async () => {
    const [held, other] = [job('success'), job('failed')];
    const shared = { put: (_id: string, copy: Copy) => Promise.resolve(copy) } as unknown as SharedCopies;
    let announce: Parameters<ReadAnnouncements>[0] = () => undefined;
    const options = {
      lifetimes,
      maxBytes: 2 ** 20,
      shared,
      onReadElsewhere: (tell: typeof announce) => (announce = tell),
    };
    const copies = new Copies(options);
    await copies.put('a-job', held, undefined);
    for (const etag of [undefined, etagOf(held)]) announce('a-job', true, etag);
    announce('a-job', false, etagOf(other));
    expect(copies.peekMemory('a-job')?.copy).toBe(held);
    announce('a-job', true, etagOf(other));
    expect(copies.peekMemory('a-job')).toBeUndefined();
  });
});

describe('an unfinished job in memory', () => {
  /** Copies with a store, and since when all announcements have arrived. */
  function rig() {
    const state = { stored: undefined as Copy | undefined, looks: 0, announcedSince: 0 };
    const clock = new VirtualClock();
    let announce: Parameters<ReadAnnouncements>[0] = () => undefined;
    const shared = {
      get: async () => {
        state.looks++;
        return state.stored;
      },
      put: async (_id: string, copy: Copy) => (state.stored = copy),
    } as unknown as SharedCopies;
    const copies = new Copies({
      lifetimes,
      maxBytes: 2 ** 20,
      shared,
      clock,
      announcedSince: () => state.announcedSince,
      onReadElsewhere: (tell) => (announce = tell),
    });
    return { state, clock, copies, announce: (finished: boolean) => announce('a-job', finished, undefined) };
  }

  it('is not served while announcements may be missed; the store is asked', async () => {
    const { state, copies } = rig();
    const active = job('active');
    await copies.put('a-job', active, undefined);
    expect(copies.peekMemory('a-job')?.copy).toBe(active);
    state.announcedSince = Infinity;
    expect(copies.peekMemory('a-job')).toBeUndefined();
    const success = (state.stored = job('success'));
    expect((await copies.find('a-job'))?.copy).toBe(success);
    // A finished job does not change: it needs no announcement.
    expect(copies.peekMemory('a-job')?.copy).toBe(success);
  });

  it('is looked up once after a gap, then served from memory again', async () => {
    const { state, clock, copies } = rig();
    const active = job('active');
    await copies.put('a-job', active, undefined);
    await clock.advance(1000);
    state.announcedSince = 500;
    expect(copies.peekMemory('a-job')).toBeUndefined();
    expect((await copies.find('a-job'))?.copy).toBe(active);
    expect([copies.peekMemory('a-job')?.copy, state.looks]).toEqual([active, 1]);
  });

  it('is served all the same when the store has no answer', async () => {
    const { state, copies } = rig();
    const active = job('active');
    await copies.put('a-job', active, undefined);
    state.stored = undefined;
    state.announcedSince = Infinity;
    expect((await copies.find('a-job'))?.copy).toBe(active);
  });

  it('is not served when its end was announced while it was being stored', async () => {
    const { copies, announce } = rig();
    const put = copies.put('a-job', job('active'), undefined);
    announce(true);
    await put;
    expect(copies.peekMemory('a-job')).toBeUndefined();
  });
});

function etagOf(copy: Copy): string | undefined {
  return copy.kind === 'job' ? copy.etag : undefined;
}
