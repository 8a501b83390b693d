import { describe, expect, it } from '@jest/globals';
import { Copies, type SharedCopies } from '../../src/upstream/copies.ts';
import { type Copy, parseJob } from '../../src/upstream/copy.ts';

const lifetimes = { finishedMs: 3_600_000, activeMs: 5000, staleMs: 3_600_000, missingMs: 10_000 };
const job = (state: string): Copy =>
  parseJob(Buffer.from(`{"job":{"state":"${state}"}}`), 'application/json', performance.now())!;

describe('a look at the shared store', () => {
  it('is made anew when another replica has read the job meanwhile: it may bring what was there before', async () => {
    const looks: ((copy: Copy) => void)[] = [];
    const shared = {
      get: () => new Promise<Copy>((resolve) => looks.push(resolve)),
    } as unknown as SharedCopies;
    let announce: (jobId: string, finished: boolean) => void = () => undefined;
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
    announce('a-job', true);
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
