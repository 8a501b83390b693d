import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { stack } from '../../src/upstream/exchange.ts';
import { JobFailures } from '../../src/upstream/layers/job-failures.ts';
import { failure, sharedRead, UPSTREAM_ANSWER as found } from '../support/shared-reads.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const HOUR_MS = 3_600_000;

let clock: VirtualClock;
let failures: JobFailures;
/** Pauses that were too long, as asked for and as granted, in milliseconds. */
let cuts: [saidMs: number, pauseMs: number][];
/** The error of each job; absent: its calls go well. */
let answers: Map<string, Error | undefined>;
/** The calls that were made: when, for which job, and whether its last read had failed. */
let calls: { at: number; jobId: string; hasFailed: boolean | undefined }[];

beforeEach(() => {
  clock = new VirtualClock();
  failures = new JobFailures(HOUR_MS, (...cut) => cuts.push(cut), clock);
  answers = new Map();
  cuts = [];
  calls = [];
});

/** @returns the outcome: `well`, or the status with the Retry-After in seconds */
async function read(jobId: string): Promise<string> {
  const exchange = stack([failures.failFast, failures.recordOutcome], ({ hasFailed }) => {
    calls.push({ at: clock.now(), jobId, hasFailed });
    const error = answers.get(jobId);
    return error === undefined ? Promise.resolve(found) : Promise.reject(error);
  });
  try {
    await exchange(sharedRead(clock, { jobId }));
    return 'well';
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const { retryAfterMs } = error.options;
    return `${error.status}${retryAfterMs === undefined ? '' : ` ${retryAfterMs / 1000}`}`;
  }
}

/** Reads the bad job each second, and perhaps a good one. @returns the times of calls for the bad one, in seconds */
async function poll(seconds: number, goodEverySeconds = Infinity): Promise<number[]> {
  for (let second = 0; second < seconds; second++) {
    if (second % goodEverySeconds === 0 && goodEverySeconds < Infinity)
      expect(await read(`good ${second}`)).toBe('well');
    await read('bad');
    await clock.advance(1000);
  }
  return calls.filter(({ jobId }) => jobId === 'bad').map(({ at }) => at / 1000);
}

describe('a job that upstream fails to answer for', () => {
  it.each([500, 502, 503, 504, 'timeout', 'connection', 200] as const)(
    'by %s is called ever less often, up to once a minute, while others are answered',
    async (status) => {
      answers.set('bad', failure('final', status));
      expect(await poll(200, 1)).toEqual([0, 1, 2, 4, 8, 16, 32, 64, 124, 184]);
    },
  );

  it('may fail by a 401 of its own', async () => {
    answers.set('bad', failure('job-refused', 401));
    expect(await poll(30, 1)).toEqual([0, 1, 2, 4, 8, 16]);
  });

  it('is called every ten seconds while no other job is answered, since upstream may be down', async () => {
    answers.set('bad', failure('final', 500));
    expect(await poll(50)).toEqual([0, 1, 2, 4, 8, 16, 26, 36, 46]);
  });

  it('gets the same error meanwhile, with the next call as Retry-After', async () => {
    answers.set('bad', failure('final', 500));
    expect(await read('bad')).toBe('502');
    expect(await read('bad')).toBe('502 1');
    await clock.advance(400);
    expect(await read('bad')).toBe('502 0.6');
    expect(calls.map(({ hasFailed }) => hasFailed)).toEqual([false, true]);
  });

  it('costs no read of another job', async () => {
    answers.set('bad', failure('final', 500));
    for (const _ of [1, 2, 3]) await read('bad');
    expect(await read('good')).toBe('well');
  });

  it('is paused for its Retry-After, up to a bound', async () => {
    answers.set('bad', failure('transient', 503, undefined, 90_000));
    expect(await read('bad')).toBe('502 90');
    await clock.advance(89_999);
    expect(await read('bad')).toBe('502 0.001');
    await clock.advance(1);
    answers.set('bad', failure('transient', 503, undefined, 1e15));
    expect(await read('bad')).toBe('502 3600');
    expect(cuts).toEqual([[1e15, HOUR_MS]]);
  });

  it('is paused once when reads fail together', async () => {
    answers.set('bad', failure('final', 500));
    await read('bad');
    const slow = Promise.withResolvers<never>();
    const exchange = failures.recordOutcome(() => slow.promise);
    const reads = Array.from({ length: 10 }, () =>
      exchange(sharedRead(clock, { jobId: 'bad' })).catch(() => undefined),
    );
    await clock.advance(400);
    slow.reject(failure('final', 500));
    await Promise.all(reads);
    expect(await read('bad')).toBe('502 1');
  });

  it.each([301, 405, 410, 418] as const)(
    'is so by a status that is no word on it as well: %i',
    async (status) => {
      answers.set('bad', failure('final', status));
      expect([await read('bad'), await read('bad')]).toEqual(['502', '502 1']);
    },
  );

  it('is forgotten once it was answered, even by a refusal', async () => {
    for (const good of [undefined, failure('final', 403), failure('final', 422)]) {
      answers.set('bad', failure('final', 500));
      expect([await read('bad'), await read('bad')]).toEqual(['502', '502 1']);
      await clock.advance(1000);
      answers.set('bad', good);
      await read('bad');
    }
  });

  it('is forgotten when it has not been read for ten minutes', async () => {
    answers.set('bad', failure('final', 500));
    await poll(60, 1);
    await clock.advance(700_000);
    expect([await read('bad'), await read('bad')]).toEqual(['502', '502 1']);
  });
});

describe('an error that says nothing about a job', () => {
  it.each([
    ['a 429', failure('rate-limited', 429)],
    ['an open circuit', GatewayError.of('ServiceUnavailable')],
    ['an answer that it is forbidden', failure('final', 403)],
  ])('pauses nothing: %s', async (_, error) => {
    answers.set('bad', error);
    for (const __ of [1, 2, 3, 4]) await read('bad');
    expect(calls).toHaveLength(4);
  });
});

describe('a failure that another replica has met', () => {
  const told = (retryAfterMs?: number): GatewayError =>
    GatewayError.of('UpstreamError', retryAfterMs === undefined ? {} : { retryAfterMs });

  it('pauses the job here as well, and counts for the next pause', async () => {
    failures.recordFailureElsewhere('bad', told(8000));
    answers.set('bad', failure('final', 500));
    expect(await poll(30, 1)).toEqual([8, 24]);
  });

  it('pauses nothing without a Retry-After; the pause ends when the job was read there', async () => {
    failures.recordFailureElsewhere('bad', told());
    expect(await read('bad')).toBe('well');
    failures.recordFailureElsewhere('bad', told(8000));
    failures.recordSuccess('bad');
    expect(await read('bad')).toBe('well');
  });
});

describe('the memory of failures', () => {
  it('holds ten thousand jobs at most', async () => {
    for (let job = 0; job <= 10_000; job++)
      failures.recordFailureElsewhere(`job ${job}`, GatewayError.of('UpstreamError', { retryAfterMs: 9000 }));
    expect([await read('job 0'), await read('job 10000')]).toEqual(['well', '502 9']);
  });
});
