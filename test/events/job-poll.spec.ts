import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { JobPoll } from '../../src/events/job-poll.ts';
import { type Copy, parseJob } from '../../src/upstream/copy.ts';
import type { CopyListener } from '../../src/upstream/copies.ts';
import type { JobRead, JobReads } from '../../src/upstream/job-reads.ts';

const FRESH_MS = 5000;

let told: string[];
let reads: { resolve: (copy: Copy) => Promise<void>; reject: (error: unknown) => Promise<void> }[];
/** The copy that is held when the poll begins. */
let held: Copy | undefined;
/** Another read has brought a copy. */
let brought: CopyListener;
let poll: JobPoll;

beforeEach(async () => {
  jest.useFakeTimers();
  held = undefined;
  await begin();
});

async function begin(): Promise<void> {
  [told, reads] = [[], []];
  const fake = {
    watch: (_jobId: string, listener: CopyListener) => {
      brought = listener;
      return () => undefined;
    },
    read: ({ directives }: JobRead) => {
      if (directives?.onlyIfCached)
        return held ? Promise.resolve({ copy: held }) : Promise.reject(GatewayError.of('NotCached'));
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      const settled = (): Promise<void> => jest.advanceTimersByTimeAsync(0);
      reads.push({
        resolve: (copy) => (resolve({ copy }), settled()),
        reject: (error) => (reject(error), settled()),
      });
      return promise;
    },
  };
  poll = new JobPoll(fake as unknown as JobReads, 'a-job', 'tester', FRESH_MS);
  poll.add((update) => told.push('error' in update ? update.error.body.code : bodyOf(update.copy)));
  await jest.advanceTimersByTimeAsync(0);
}

afterEach(() => {
  poll.end();
  jest.useRealTimers();
});

const bodyOf = (copy: Copy): string => (copy.kind === 'job' ? copy.body.toString() : 'missing');
const body = (state: string): string => `{"job":{"id":"a-job","state":"${state}"}}`;
const job = (state: string, ageMs = 0): Copy =>
  parseJob('a-job', Buffer.from(body(state)), 'application/json', performance.now() - ageMs)!;
const tooMany = (retryAfterMs: number): GatewayError => GatewayError.of('TooManyRequests', { retryAfterMs });

describe('the poll of a job', () => {
  it('reports the held copy at once, whatever its age, and then the result of the read', async () => {
    poll.end();
    held = job('active', 60_000);
    await begin();
    expect(told).toEqual([body('active')]);
    await reads[0]!.resolve(job('success'));
    expect(told).toEqual([body('active'), body('success')]);
  });

  it('comes when the copy becomes stale, and each second while its refresh is pending', async () => {
    await reads[0]!.resolve(job('active', 1000));
    await jest.advanceTimersByTimeAsync(3999);
    expect(reads).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(20);
    expect(reads).toHaveLength(2);
    await reads[1]!.resolve(job('active', 7000));
    await jest.advanceTimersByTimeAsync(999);
    expect(reads).toHaveLength(2);
    await jest.advanceTimersByTimeAsync(1);
    expect(reads).toHaveLength(3);
  });

  it('reports no copy older than the latest: a read may end with the copy that it began with', async () => {
    await reads[0]!.resolve(job('active', 6000));
    await jest.advanceTimersByTimeAsync(1000);
    const former = job('active', 7000);
    brought(job('finishing'));
    await reads[1]!.resolve(former);
    expect(told).toEqual([body('active'), body('finishing')]);
    brought(job('success', 10));
    await jest.advanceTimersByTimeAsync(1000);
    brought(job('finishing'));
    expect(told.slice(2)).toEqual([body('success')]);
  });

  it('reports the present state to later watchers, errors included, but no passing error once the job was seen', async () => {
    const later: string[] = [];
    const join = (): void => poll.add((update) => later.push('error' in update ? 'an error' : 'a copy'));
    await reads[0]!.reject(GatewayError.of('UpstreamError'));
    join();
    expect(later).toEqual(['an error']);
    await jest.advanceTimersByTimeAsync(FRESH_MS);
    await reads[1]!.resolve(job('active'));
    join();
    expect(later).toEqual(['an error', 'a copy', 'a copy']);
    await jest.advanceTimersByTimeAsync(FRESH_MS + 10);
    await reads[2]!.reject(GatewayError.of('UpstreamTimeout'));
    expect(told).toEqual(['UpstreamError', body('active')]);
    expect(later).toHaveLength(3);
  });

  it('does not report a short 429 of the first read, and reads again after its pause', async () => {
    await reads[0]!.reject(tooMany(20_000));
    await jest.advanceTimersByTimeAsync(19_999);
    expect([reads.length, told]).toEqual([1, []]);
    await jest.advanceTimersByTimeAsync(1);
    await reads[1]!.resolve(job('active'));
    expect(told).toEqual([body('active')]);
  });

  it('reports a 429 with a long pause, and reads again after a minute at the latest', async () => {
    await reads[0]!.reject(tooMany(20 * 60_000));
    expect(told).toEqual(['TooManyRequests']);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(reads).toHaveLength(2);
  });

  it('ends with the job or its watchers, and not with an error of the gateway', async () => {
    await reads[0]!.reject(new Error('a fault'));
    expect(told).toEqual(['InternalServerError']);
    await jest.advanceTimersByTimeAsync(FRESH_MS);
    await reads[1]!.resolve(job('success'));
    await jest.advanceTimersByTimeAsync(3_600_000);
    expect([reads.length, told.slice(1)]).toEqual([2, [body('success')]]);
  });
});
