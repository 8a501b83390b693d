import { beforeEach, describe, expect, it } from '@jest/globals';
import { CallerGone } from '../../src/errors/caller-gone.ts';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import type { Exchange, SharedRead, ReadResult, CallOutcome } from '../../src/upstream/exchange.ts';
import { Circuit } from '../../src/upstream/layers/circuit.ts';
import { UpstreamFailure } from '../../src/upstream/upstream-failure.ts';

const found = { source: 'upstream' } as ReadResult;
let reads: number;
/** A read of a job that no other read asks for. */
const newRead = (): SharedRead => ({ jobId: `job ${reads++}` }) as SharedRead;

function failure(status: CallOutcome['status'], retryAfterMs?: number): UpstreamFailure {
  return new UpstreamFailure(
    { kind: 'final', outcome: { status }, retryAfterMs },
    GatewayError.of('UpstreamError'),
  );
}

let now: number;
let closedMs: number;
let told: string[];
/** How long the gate was closed for, in milliseconds. */
let closings: number[];
let circuit: Circuit;
/** Calls under way, the oldest first. */
let calls: PromiseWithResolvers<ReadResult>[];
let send: Exchange<SharedRead>;

beforeEach(() => {
  now = 0;
  reads = 0;
  closings = [];
  closedMs = 0;
  told = [];
  calls = [];
  const observer = {
    circuitOpened: (status: unknown) => told.push(`opened ${String(status)}`),
    circuitClosed: () => told.push('closed'),
  };
  const budget = {
    state: () => ({ mode: 'local' as const, windows: [], closedMs }),
    close: (forMs: number) => closings.push(forMs),
  };
  circuit = new Circuit(observer, budget, () => now);
  send = circuit.recordOutcome(() => {
    const call = Promise.withResolvers<ReadResult>();
    calls.push(call);
    return call.promise;
  });
});

/** Makes so many calls, one after the other, that end with the error, or well. */
async function make(times: number, error?: unknown, read: () => SharedRead = newRead): Promise<void> {
  for (let made = 0; made < times; made++) {
    const sent = send(read()).catch((thrown: unknown) => expect(thrown).toBe(error));
    if (error === undefined) calls.pop()?.resolve(found);
    else calls.pop()?.reject(error);
    await sent;
  }
}

/** Retry-After, in seconds, of a read that is refused before the queue and behind it; undefined when it is admitted. */
async function refusedFor(): Promise<number | undefined> {
  const [door, line] = await Promise.all(
    [circuit.failFast(async () => found)(newRead()), circuit.admit()].map((asked) =>
      asked.then(
        () => undefined,
        (error: unknown) => {
          const { status, body, options } = error as GatewayError;
          expect([status, body.code]).toEqual([503, 'ServiceUnavailable']);
          return options.retryAfterMs! / 1000;
        },
      ),
    ),
  );
  expect(door).toBe(line);
  return line;
}

/** Opens the circuit, and lets the first pause pass. */
async function openUntilTrial(): Promise<void> {
  await make(10, failure(503));
  now += 1000;
}

describe('the circuit', () => {
  it.each(['timeout', 'connection', 500, 502, 503, 504] as const)(
    'opens after ten calls in a row that end with %s, and says so once',
    async (status) => {
      await make(9, failure(status));
      expect([circuit.state, await refusedFor()]).toEqual(['closed', undefined]);
      await make(1, failure(status));
      expect([circuit.state, await refusedFor()]).toEqual(['open', 1]);
      expect(told).toEqual([`opened ${status}`]);
    },
  );

  it.each([200, 304, 400, 401, 403, 404, 409, 422, 429] as const)(
    'takes %s for a sign of life, which begins the count anew',
    async (status) => {
      for (let round = 0; round < 3; round++) {
        await make(9, failure(500));
        await make(1, status === 200 ? undefined : failure(status));
      }
      expect([circuit.state, told]).toEqual(['closed', []]);
      await openUntilTrial();
      await make(1, status === 200 ? undefined : failure(status));
      expect([circuit.state, await refusedFor()]).toEqual(['closed', undefined]);
    },
  );

  it.each([new CallerGone(), GatewayError.of('ServiceUnavailable'), failure('cancelled')])(
    'counts a call that came to no answer as neither: %s',
    async (error) => {
      await make(9, failure(500));
      await make(20, error);
      expect(circuit.state).toBe('closed');
      await make(1, failure(500));
      expect(circuit.state).toBe('open');
    },
  );

  it('doubles its pause after each failed trial, up to 10 s, and starts with 1 s after it was closed', async () => {
    await make(10, failure('timeout'));
    for (const pause of [1, 2, 4, 8, 10, 10]) {
      expect(await refusedFor()).toBe(pause);
      now += pause * 1000 - 1;
      expect(await refusedFor()).toBe(0.001);
      now += 1;
      expect(await refusedFor()).toBeUndefined();
      await make(1, failure('timeout'));
    }
    now += 10_000;
    await make(1);
    await make(10, failure(500));
    expect(await refusedFor()).toBe(1);
    expect(told).toEqual(['opened timeout', 'closed', 'opened 500']);
  });

  it('names no Retry-After before the gate opens', async () => {
    await make(10, failure(503));
    closedMs = 30_000;
    expect(await refusedFor()).toBe(30);
  });
});

describe('one job that fails', () => {
  const bad = (): SharedRead => ({ jobId: 'bad' }) as SharedRead;

  it('does not open the circuit, nor do nine', async () => {
    await make(100, failure(500), bad);
    for (let round = 0; round < 25; round++) {
      for (const jobId of 'abcdefgh') await make(1, failure('connection'), () => ({ jobId }) as SharedRead);
    }
    expect([circuit.state, told]).toEqual(['closed', []]);
  });

  it('counts once', async () => {
    await make(50, failure(500), bad);
    await make(8, failure(500));
    expect(circuit.state).toBe('closed');
    await make(1, failure(500));
    expect(circuit.state).toBe('open');
  });

  it('does not close the gate by its Retry-After', async () => {
    await make(100, failure(503, 60_000), bad);
    expect(closings).toEqual([]);
  });
});

describe('a 503 with Retry-After', () => {
  it('closes the gate when three jobs get it', async () => {
    await make(2, failure(503, 60_000));
    expect(closings).toEqual([]);
    await make(1, failure(503, 30_000));
    expect(closings).toEqual([30_000]);
  });

  it('closes it again only when three more jobs get it', async () => {
    await make(5, failure(503, 30_000));
    expect(closings).toEqual([30_000]);
    await make(1, failure(503, 30_000));
    expect(closings).toEqual([30_000, 30_000]);
  });

  it('does not close it when the three are far apart in time', async () => {
    for (let round = 0; round < 5; round++) {
      await make(1, failure(503, 60_000));
      now += 31_000;
    }
    expect(closings).toEqual([]);
  });

  it('does not close it when there was a success between', async () => {
    for (let round = 0; round < 5; round++) {
      await make(2, failure(503, 60_000));
      await make(1);
    }
    expect(closings).toEqual([]);
  });

  it.each([500, 502, 504] as const)('does not count with another status: %i', async (status) => {
    await make(9, failure(status, 60_000));
    expect(closings).toEqual([]);
  });
});

describe('a trial', () => {
  it('is a single call; other reads wait for its end', async () => {
    await openUntilTrial();
    const trial = send(newRead());
    const others = Promise.allSettled([1, 2, 3].map(() => send(newRead())));
    let admitted = 0;
    const asking = [1, 2].map(() => circuit.admit().then(() => admitted++));
    expect((await others).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect([circuit.state, calls.length, admitted]).toEqual(['half-open', 1, 0]);
    calls[0]!.resolve(found);
    await trial;
    await Promise.all(asking);
    expect([circuit.state, admitted]).toEqual(['closed', 2]);
  });

  it('that fails refuses the reads that waited for its end', async () => {
    await openUntilTrial();
    const trial = send(newRead());
    const asking = circuit.admit();
    calls[0]!.reject(failure('connection'));
    await expect(trial).rejects.toThrow(failure('connection').message);
    await expect(asking).rejects.toMatchObject({ status: 503, options: { retryAfterMs: 2000 } });
  });

  it('that is cancelled makes the next read the trial, without another pause', async () => {
    await openUntilTrial();
    for (let times = 0; times < 5; times++) {
      await make(1, new CallerGone());
      expect([circuit.state, await refusedFor()]).toEqual(['open', undefined]);
    }
    await make(1, failure(500));
    expect(await refusedFor()).toBe(2);
    expect(told).toEqual(['opened 503']);
  });

  it('alone decides, not a call from before the circuit opened', async () => {
    const [bad, alive, good] = [1, 2, 3].map(() => send(newRead()).catch(() => undefined));
    const [first, second, third, ...none] = calls.splice(0);
    expect(none).toEqual([]);
    await openUntilTrial();
    const trial = send(newRead());
    first!.reject(failure('timeout'));
    second!.reject(failure(403));
    third!.resolve(found);
    await Promise.all([bad, alive, good]);
    expect(circuit.state).toBe('half-open');
    calls[0]!.resolve(found);
    await trial;
    expect(circuit.state).toBe('closed');
  });
});
