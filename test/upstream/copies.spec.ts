import { describe, expect, it } from '@jest/globals';
import { type Announcements, Copies, type SharedCopies } from '../../src/upstream/copies.ts';
import { type Copy, parseJob } from '../../src/upstream/copy.ts';

const lifetimes = { finishedMs: 3_600_000, activeMs: 5000, staleMs: 3_600_000, missingMs: 10_000 };
const job = (state: string): Copy =>
  parseJob(
    'a-job',
    Buffer.from(`{"job":{"id":"a-job","state":"${state}"}}`),
    'application/json',
    performance.now(),
  )!;

describe('a look at the shared store', () => {
  it('is made anew when another replica has read the job meanwhile: it may bring what was there before', async () => {
    const looks: ((copy: Copy) => void)[] = [];
    const shared = {
      get: () => new Promise<Copy>((resolve) => looks.push(resolve)),
    } as unknown as SharedCopies;
    let announce: Parameters<Announcements>[0] = () => undefined;
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
    expect(copies.inMemory('a-job')?.copy).toBe(success);
    expect(told).toEqual([success]);
    // The look is over: the next is one of its own.
    void copies.find('a-job');
    expect(looks).toHaveLength(3);
  });
});

describe('a finished job in memory', () => {
  it('gives way to another document of its end that a replica has stored, and to no other word', async () => {
    const [held, other] = [job('success'), job('failed')];
    const shared = { put: (_id: string, copy: Copy) => Promise.resolve(copy) } as unknown as SharedCopies;
    let announce: Parameters<Announcements>[0] = () => undefined;
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
    expect(copies.inMemory('a-job')?.copy).toBe(held);
    announce('a-job', true, etagOf(other));
    expect(copies.inMemory('a-job')).toBeUndefined();
  });
});

function etagOf(copy: Copy): string | undefined {
  return copy.kind === 'job' ? copy.etag : undefined;
}
