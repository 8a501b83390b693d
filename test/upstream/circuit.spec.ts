import { beforeEach, describe, expect, it } from '@jest/globals';
import { CallerGone } from '../../src/errors/caller-gone.ts';
import { GatewayError } from '../../src/errors/gateway-error.ts';
import type { Exchange, Flight, Found, UpstreamTrace } from '../../src/upstream/exchange.ts';
import { Circuit } from '../../src/upstream/layers/circuit.ts';
import { UpstreamFailure } from '../../src/upstream/upstream-failure.ts';

const found = { source: 'upstream' } as Found;
const read = {} as Flight;

function failure(status: UpstreamTrace['status']): UpstreamFailure {
  return new UpstreamFailure({ kind: 'final', trace: { status } }, GatewayError.of('UpstreamError'));
}

let now: number;
let closedMs: number;
let told: string[];
let circuit: Circuit;
/** Calls that are under way, first first. */
let calls: PromiseWithResolvers<Found>[];
let send: Exchange<Flight>;

beforeEach(() => {
  now = 0;
  closedMs = 0;
  told = [];
  calls = [];
  const observer = {
    circuitOpened: (status: unknown) => told.push(`opened ${String(status)}`),
    circuitClosed: () => told.push('closed'),
  };
  circuit = new Circuit(observer, { state: () => ({ mode: 'local', windows: [], closedMs }) }, () => now);
  send = circuit.watch(() => {
    const call = Promise.withResolvers<Found>();
    calls.push(call);
    return call.promise;
  });
});

/** Makes so many calls, one after the other, that end with an error, or with an answer. */
async function make(times: number, error?: unknown): Promise<void> {
  for (let made = 0; made < times; made++) {
    const sent = send(read).catch((thrown: unknown) => expect(thrown).toBe(error));
    if (error === undefined) calls.pop()?.resolve(found);
    else calls.pop()?.reject(error);
    await sent;
  }
}

/** Seconds for which a read is refused now, at the door and when it has stood in line; undefined: it is let in. */
async function refusedFor(): Promise<number | undefined> {
  const [door, line] = await Promise.all(
    [circuit.door(async () => found)(read), circuit.admit()].map((asked) =>
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

/** Fails until it is open, and lets the first pause pass. */
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

  it('pauses twice as long after each trial that fails, up to 10 s, and for 1 s again once it has been closed', async () => {
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

  it('tells nobody to come again before the gate is open', async () => {
    await make(10, failure(503));
    closedMs = 30_000;
    expect(await refusedFor()).toBe(30);
  });
});

describe('a trial', () => {
  it('is one call alone; who asks meanwhile waits for its end', async () => {
    await openUntilTrial();
    const trial = send(read);
    const others = Promise.allSettled([1, 2, 3].map(() => send(read)));
    let admitted = 0;
    const asking = [1, 2].map(() => circuit.admit().then(() => admitted++));
    expect((await others).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect([circuit.state, calls.length, admitted]).toEqual(['half-open', 1, 0]);
    calls[0]!.resolve(found);
    await trial;
    await Promise.all(asking);
    expect([circuit.state, admitted]).toEqual(['closed', 2]);
  });

  it('that fails turns away those who waited for its end', async () => {
    await openUntilTrial();
    const trial = send(read);
    const asking = circuit.admit();
    calls[0]!.reject(failure('connection'));
    await expect(trial).rejects.toThrow(failure('connection').message);
    await expect(asking).rejects.toMatchObject({ status: 503, options: { retryAfterMs: 2000 } });
  });

  it('that is cancelled leaves it to the next read, at once, and makes no pause longer', async () => {
    await openUntilTrial();
    for (let times = 0; times < 5; times++) {
      await make(1, new CallerGone());
      expect([circuit.state, await refusedFor()]).toEqual(['open', undefined]);
    }
    await make(1, failure(500));
    expect(await refusedFor()).toBe(2);
    expect(told).toEqual(['opened 503']);
  });

  it('alone decides: not what ends meanwhile and began before the circuit opened', async () => {
    const [bad, alive, good] = [1, 2, 3].map(() => send(read).catch(() => undefined));
    const [first, second, third, ...none] = calls.splice(0);
    expect(none).toEqual([]);
    await openUntilTrial();
    const trial = send(read);
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
