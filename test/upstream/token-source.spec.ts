import { beforeEach, describe, expect, it } from '@jest/globals';
import { CallerGone } from '../../src/errors/caller-gone.ts';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import { type SharedRead, stack } from '../../src/upstream/exchange.ts';
import { authorize } from '../../src/upstream/layers/authorize.ts';
import { JobFailures } from '../../src/upstream/layers/job-failures.ts';
import { retry } from '../../src/upstream/layers/retry.ts';
import { TokenFailure } from '../../src/upstream/token-endpoint.ts';
import { TokenSource } from '../../src/upstream/token-source.ts';
import { failure, sharedRead, UPSTREAM_ANSWER as found } from '../support/shared-reads.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

const HOUR_MS = 3_600_000;
const PATIENCE_MS = 10_000;

interface Call {
  readonly at: number;
  readonly jobId: string;
  readonly token: string;
  readonly accepted: boolean;
}

/** A token endpoint and an API that checks tokens. Times in milliseconds on the virtual clock. */
class Platform {
  lifetimeMs = HOUR_MS;
  endpointMs = 20;
  endpointFailure: TokenFailure | undefined;
  /** How long a token is unknown to the API after its issue. */
  lagMs = 0;
  /** Duration of a call. */
  callMs = 20;
  /** Jobs that are always refused with a 401. */
  readonly refusedJobs = new Set<string>();
  refusesAll = false;
  /** Whether the endpoint issues the same token each time. */
  repeats = false;
  /** Number of the last revoked token. */
  revokedUpTo = -1;
  readonly requests: number[] = [];
  readonly calls: Call[] = [];
  readonly #issuedAt: number[] = [];

  constructor(private readonly clock: VirtualClock) {}

  async issue(): Promise<{ value: string; lifetimeMs: number }> {
    this.requests.push(this.clock.now());
    await this.#wait(this.endpointMs);
    if (this.endpointFailure) throw this.endpointFailure;
    if (!this.repeats || this.#issuedAt.length === 0) this.#issuedAt.push(this.clock.now());
    return { value: `token ${this.#issuedAt.length - 1}`, lifetimeMs: this.lifetimeMs };
  }

  async call({ jobId }: SharedRead, token: string): Promise<typeof found> {
    const at = this.clock.now();
    const number = Number(token.split(' ')[1]);
    const issuedAt = this.#issuedAt[number] ?? Infinity;
    const isKnown =
      at >= issuedAt + this.lagMs && at < issuedAt + this.lifetimeMs && number > this.revokedUpTo;
    const accepted = isKnown && !this.refusesAll && !this.refusedJobs.has(jobId);
    this.calls.push({ at, jobId, token, accepted });
    await this.#wait(this.callMs);
    if (!accepted) throw failure('token-refused', 401);
    return found;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.after(ms, resolve));
  }
}

let clock: VirtualClock;
let platform: Platform;
let tokens: TokenSource;
let failures: JobFailures;
let events: string[];
let jobs: number;

beforeEach(() => {
  clock = new VirtualClock();
  platform = new Platform(clock);
  failures = new JobFailures(HOUR_MS, undefined, clock);
  events = [];
  jobs = 0;
  tokens = new TokenSource({
    request: () => platform.issue(),
    observer: {
      refreshed: (failed) => events.push(failed ? `failed: ${failed.message}` : 'token'),
      tokensRefused: () => events.push('tokens refused'),
      tokensAccepted: () => events.push('tokens accepted'),
    },
    longestPauseMs: HOUR_MS,
    clock,
  });
});

/** Reads a job, by default a new one, without a queue; awaits `ready` before the call as the queue does. */
function read(jobId = `job ${jobs++}`): {
  readonly ended: string[];
  readonly refused: readonly GatewayError[];
} {
  const shared = sharedRead(clock, { jobId: jobId, patienceMs: PATIENCE_MS });
  const ended: string[] = [];
  const exchange = authorize(tokens, (tried, token) => platform.call(tried, token), clock);
  stack([failures.failFast, failures.recordOutcome, retry(clock)], async (tried) => {
    await tokens.ready();
    return exchange(tried);
  })(shared).then(
    () => ended.push('ok'),
    (error: unknown) =>
      ended.push(error instanceof GatewayError ? `${error.status} ${error.body.code}` : String(error)),
  );
  return { ended, refused: shared.refused };
}

/** Reads a job successfully. */
async function readOk(): Promise<void> {
  const { ended } = read();
  await clock.advance(1000);
  expect(ended).toEqual(['ok']);
}

/** Reads a new job at each interval. @returns how the reads ended */
async function readEvery(ms: number, forMs: number, each: () => void = () => undefined): Promise<string[]> {
  const reads = [];
  for (let passed = 0; passed < forMs; passed += ms) {
    each();
    reads.push(read());
    await clock.advance(ms);
  }
  await clock.advance(PATIENCE_MS);
  expect(reads.flatMap(({ refused }) => refused)).toEqual([]);
  return reads.map(({ ended }) => ended.join());
}

const allOk = (count: number): string[] => Array<string>(count).fill('ok');
const refusals = (): number => platform.calls.filter(({ accepted }) => !accepted).length;

describe('the token', () => {
  it('is requested once for all waiting reads', async () => {
    const reads = Array.from({ length: 100 }, () => read());
    await clock.advance(100);
    expect(reads.flatMap(({ ended }) => ended)).toEqual(allOk(100));
    expect(platform.requests).toEqual([0]);
  });

  it('is refreshed a minute before its expiry, and stays in use until the new one is accepted', async () => {
    platform.endpointMs = 5000;
    await readOk().catch(() => undefined);
    await clock.advance(HOUR_MS - 55_000);
    const ended = await readEvery(500, 20_000);
    expect(ended).toEqual(allOk(40));
    expect(platform.requests).toHaveLength(2);
    expect(new Set(platform.calls.map(({ token }) => token)).size).toBe(2);
  });

  it('is refreshed a fifth of its lifetime before its expiry when that is shorter', async () => {
    platform.lifetimeMs = 10_000;
    await readOk();
    await clock.advance(6900);
    await readEvery(100, 100);
    expect(platform.requests).toHaveLength(1);
    await clock.advance(0);
    read();
    await clock.advance(100);
    expect(platform.requests).toHaveLength(2);
  });

  it('with an extremely short lifetime is not requested for each call', async () => {
    platform.lifetimeMs = 1000;
    tokens = new TokenSource({
      request: () => platform.issue().then(({ value }) => ({ value, lifetimeMs: 1 })),
      observer: {
        refreshed: () => undefined,
        tokensRefused: () => undefined,
        tokensAccepted: () => undefined,
      },
      longestPauseMs: HOUR_MS,
      clock,
    });
    await readEvery(10, 5000);
    expect(platform.requests.length).toBeLessThan(10);
  });

  it('is used although the request took longer than its lifetime', async () => {
    platform.lifetimeMs = HOUR_MS;
    platform.endpointMs = 1500;
    tokens = new TokenSource({
      request: () => platform.issue().then(({ value }) => ({ value, lifetimeMs: 1000 })),
      observer: {
        refreshed: () => undefined,
        tokensRefused: () => undefined,
        tokensAccepted: () => undefined,
      },
      longestPauseMs: HOUR_MS,
      clock,
    });
    const first = read();
    await clock.advance(2000);
    expect(first.ended).toEqual(['ok']);
  });

  it('is used until its expiry while no other is available', async () => {
    await readOk();
    platform.endpointFailure = new TokenFailure('unavailable', 'down');
    await clock.advance(HOUR_MS - 30_000);
    expect(await readEvery(1000, 18_000)).toEqual(allOk(18));
    expect(tokens.state).toBe('good');
    await clock.advance(60_000);
    const late = read();
    await clock.advance(100);
    expect([late.ended, tokens.state]).toEqual([['503 ServiceUnavailable'], 'failing']);
  });
});

describe('a token endpoint that fails', () => {
  it('gets one request at a time, after pauses of up to 30 s; other reads fail at once', async () => {
    platform.endpointFailure = new TokenFailure('unavailable', 'down');
    const ended = new Set<string>();
    for (let second = 0; second < 120; second++) {
      const reads = [read(), read(), read()];
      await clock.advance(1000);
      for (const one of reads) ended.add(one.ended.join());
    }
    expect([...ended]).toEqual(['503 ServiceUnavailable']);
    const pauses = platform.requests
      .slice(1)
      .map((at, index) => Math.floor((at - platform.requests[index]!) / 1000));
    expect(pauses).toEqual([2, 3, 5, 9, 17, 31, 31]);
  });

  it('is not asked again during its Retry-After, up to a bound', async () => {
    platform.endpointFailure = new TokenFailure('unavailable', 'busy', 1e15);
    read();
    await clock.advance(HOUR_MS);
    read();
    expect(platform.requests).toHaveLength(1);
    await clock.advance(1000);
    read();
    await settled();
    expect(platform.requests).toHaveLength(2);
  });

  it('does not affect the token in use when one job is refused', async () => {
    await readOk();
    await clock.advance(10_000);
    platform.endpointFailure = new TokenFailure('unavailable', 'down');
    platform.refusedJobs.add('bad');
    const bad = read('bad');
    expect(await readEvery(100, 5000)).toEqual(allOk(50));
    expect(bad.ended).toHaveLength(1);
    expect(platform.requests.length).toBeLessThanOrEqual(3);
  });
});

describe('a single refused job', () => {
  const bad = (): { readonly ended: string[] } => read('bad');

  it.each([100, 1000, 15_000])(
    'fails no other read at an interval of %i ms, and costs one token',
    async (everyMs) => {
      platform.refusedJobs.add('bad');
      await readOk();
      await clock.advance(10_000);
      const polls: { readonly ended: string[] }[] = [];
      let nextPoll = clock.now();
      const ended = await readEvery(Math.min(everyMs, 1000), 60_000, () => {
        if (clock.now() < nextPoll) return;
        nextPoll += 1000;
        polls.push(bad());
      });
      expect(new Set(ended)).toEqual(new Set(['ok']));
      expect(new Set(polls.map((one) => one.ended.join()))).toEqual(
        new Set(['502 UpstreamAuthenticationFailed']),
      );
      expect(platform.requests.length).toBeLessThanOrEqual(2);
    },
  );

  it.each([2, 5])('fails no other read when there are %i such jobs', async (count) => {
    const poisoned = Array.from({ length: count }, (_, index) => `bad ${index}`);
    poisoned.forEach((id) => platform.refusedJobs.add(id));
    await readOk();
    await clock.advance(10_000);
    const ended = await readEvery(100, 60_000, () => {
      if (clock.now() % 1000 === 0) poisoned.forEach((id) => read(id));
    });
    expect(new Set(ended)).toEqual(new Set(['ok']));
    expect(platform.requests.length).toBeLessThanOrEqual(2);
  });

  it.each([2, 4])('fails no other read when there are %i such jobs and few other reads', async (count) => {
    const poisoned = Array.from({ length: count }, (_, index) => `bad ${index}`);
    poisoned.forEach((id) => platform.refusedJobs.add(id));
    await readOk();
    await clock.advance(10_000);
    const reads: ReturnType<typeof read>[] = [];
    for (let second = 0; second < 300; second++) {
      poisoned.forEach((id) => read(id));
      if (second % 15 === 0) reads.push(read());
      await clock.advance(1000);
    }
    expect(new Set(reads.map(({ ended }) => ended.join()))).toEqual(new Set(['ok']));
    expect(platform.requests.length).toBeLessThanOrEqual(10);
  });

  it('costs few calls and tokens when no other job is read', async () => {
    for (const repeats of [false, true]) {
      platform.repeats = repeats;
      platform.refusedJobs.add('bad');
      const [calls, requests] = [platform.calls.length, platform.requests.length];
      let last: { readonly ended: string[] } | undefined;
      for (let second = 0; second < 300; second++) {
        if (last?.ended.length !== 0) last = bad();
        await clock.advance(1000);
      }
      // Six at first, with pauses between, then one per pause of ten seconds.
      expect(platform.calls.length - calls).toBeLessThan(60);
      expect(platform.requests.length - requests).toBeLessThan(10);
    }
  });

  it('costs one call per read once it is known to be refused', async () => {
    platform.refusedJobs.add('bad');
    await readOk();
    await clock.advance(10_000);
    await readEvery(100, 3000, () => {
      if (platform.calls.length < 20) bad();
    });
    const before = platform.calls.filter(({ jobId }) => jobId === 'bad').length;
    await readOk();
    const known = bad();
    await clock.advance(1000);
    expect(known.ended).toEqual(['502 UpstreamAuthenticationFailed']);
    expect(platform.calls.filter(({ jobId }) => jobId === 'bad')).toHaveLength(before + 1);
  });

  it('is read again once upstream accepts it', async () => {
    platform.refusedJobs.add('bad');
    await readOk();
    await clock.advance(10_000);
    await readEvery(100, 2000, () => {
      bad();
    });
    platform.refusedJobs.clear();
    const healed = bad();
    await clock.advance(100);
    expect(healed.ended).toEqual(['ok']);
  });
});

describe('a token that is not known to upstream yet', () => {
  it.each([50, 200, 1000])('for %i ms fails no read after startup', async (lagMs) => {
    platform.lagMs = lagMs;
    const ended = await readEvery(10, 3000);
    expect(new Set(ended)).toEqual(new Set(['ok']));
    expect(platform.requests).toHaveLength(1);
    // Some ten calls are in flight before the first is refused; after that one at a time tries the token.
    expect(refusals()).toBeLessThanOrEqual(12);
  });

  it.each([50, 200, 1000])('for %i ms does not fail a single read', async (lagMs) => {
    platform.lagMs = lagMs;
    const lone = read();
    await clock.advance(PATIENCE_MS);
    expect([lone.ended, platform.requests.length]).toEqual([['ok'], 1]);
  });

  it.each([50, 200, 1000, 20_000])(
    'for %i ms fails no read after a refresh, and wastes few calls',
    async (lagMs) => {
      await readOk();
      platform.lagMs = lagMs;
      await clock.advance(HOUR_MS - 62_000);
      expect(new Set(await readEvery(20, 40_000))).toEqual(new Set(['ok']));
      expect(platform.requests.length).toBeLessThanOrEqual(3);
      expect(refusals()).toBeLessThanOrEqual(12);
    },
  );

  it('fails no read when the former token was revoked', async () => {
    await readOk();
    await clock.advance(10_000);
    platform.lagMs = 1000;
    platform.revokedUpTo = 0;
    expect(new Set(await readEvery(50, 5000))).toEqual(new Set(['ok']));
    expect(platform.requests).toHaveLength(2);
  });
});

describe('a revoked token', () => {
  it('costs ten simultaneous reads one token and one more call each', async () => {
    await readOk();
    await clock.advance(10_000);
    platform.revokedUpTo = 0;
    platform.calls.length = 0;
    const reads = Array.from({ length: 10 }, () => read());
    await clock.advance(1000);
    expect(reads.flatMap(({ ended }) => ended)).toEqual(allOk(10));
    expect([platform.calls.length, platform.requests.length]).toEqual([20, 2]);
  });

  it('costs a single read one token and one more call', async () => {
    await readOk();
    await clock.advance(10_000);
    platform.revokedUpTo = 0;
    platform.calls.length = 0;
    const lone = read();
    await clock.advance(1000);
    expect([lone.ended, platform.calls.length, platform.requests.length]).toEqual([['ok'], 2, 2]);
  });
});

describe('invalid credentials', () => {
  it('cost ever fewer calls, fail reads at once, are reported once, and recover', async () => {
    await readOk();
    await clock.advance(10_000);
    platform.refusesAll = true;
    for (let passed = 0; passed < 20_000; passed += 100) {
      read();
      await clock.advance(100);
    }
    platform.calls.length = 0;
    platform.requests.length = 0;
    const ended = new Set<string>();
    for (let passed = 0; passed < 120_000; passed += 100) {
      const one = read();
      await clock.advance(100);
      ended.add(one.ended.join());
    }
    expect([...ended]).toEqual(['502 UpstreamAuthenticationFailed']);
    expect(platform.calls.length).toBeLessThanOrEqual(6);
    expect(platform.requests.length).toBeLessThanOrEqual(platform.calls.length);
    expect([tokens.state, events.filter((line) => line.startsWith('tokens'))]).toEqual([
      'failing',
      ['tokens refused'],
    ]);
    platform.refusesAll = false;
    await clock.advance(31_000);
    await readOk();
    expect([tokens.state, events.at(-1)]).toEqual(['good', 'tokens accepted']);
  });

  it('recover although new tokens are known late, by retrying a refused young token', async () => {
    platform.refusesAll = true;
    for (let passed = 0; passed < 30_000; passed += 500) {
      read();
      await clock.advance(500);
    }
    platform.refusesAll = false;
    platform.lagMs = 1000;
    for (let passed = 0; passed < 120_000 && tokens.state !== 'good'; passed += 500) {
      read();
      await clock.advance(500);
    }
    expect(tokens.state).toBe('good');
  });

  it('are tried at once when they are replaced', async () => {
    platform.refusesAll = true;
    for (let passed = 0; passed < 30_000; passed += 500) {
      read();
      await clock.advance(500);
    }
    platform.refusesAll = false;
    tokens.renew();
    await settled();
    await readOk();
  });
});

describe('a call that tries a token', () => {
  it('lets the next call try it when it is cancelled', async () => {
    platform.lagMs = HOUR_MS;
    read();
    read();
    await clock.advance(45);
    const gone = authorize(tokens, () => Promise.reject(new CallerGone()), clock);
    platform.lagMs = 0;
    await clock.advance(100);
    await expect(gone(sharedRead(clock, { jobId: 'gone' }))).rejects.toThrow(CallerGone);
    await readOk();
  });
});
