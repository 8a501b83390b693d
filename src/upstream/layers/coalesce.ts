import { type Clock, systemClock } from '../../clock.ts';
import { CallerGone } from '../../errors/caller-gone.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import type { Exchange, SharedRead, ReadResult, UpstreamRead, CallOutcome } from '../exchange.ts';
import { Waiters, type Waiter } from '../waiters.ts';
import { withCallOutcome, UpstreamFailure } from '../upstream-failure.ts';

/** One read under way, and those who wait for it. */
class SharedFlight {
  trace: UpstreamRead['trace'];
  readonly #party: Waiters;
  readonly #cancel = new AbortController();
  #result: Promise<ReadResult> | undefined;
  #isOver = false;
  #failed: CallOutcome | undefined;
  /** A copy may still answer it; a call will be made; the call is on its way. */
  #phase: 'looking' | 'waiting' | 'sent' = 'looking';

  constructor(
    private readonly strict: boolean,
    private readonly onEnd: () => void,
    clock: Clock,
  ) {
    this.#party = new Waiters(clock);
  }

  /** Starts the read, once somebody waits for it: the layers inside ask the party how long. */
  start(next: Exchange<SharedRead>, trip: UpstreamRead): void {
    this.trace = trip.trace;
    const flight: SharedRead = {
      ...trip,
      waiters: this.#party,
      cancellation: this.#cancel,
      isRetry: false,
      onQueued: () => {
        this.#phase = 'waiting';
      },
      onSent: () => {
        this.#phase = 'sent';
        trip.progress?.onSent();
      },
      onCallFailed: (outcome) => {
        this.#failed = outcome;
      },
    };
    this.#result = next(flight).finally(() => {
      this.#isOver = true;
      this.onEnd();
    });
  }

  /** Whether its answer is one for this trip: a strict one takes only what is called for after it came. */
  suits({ mustRevalidate }: UpstreamRead): boolean {
    if (!mustRevalidate) return true;
    return this.#phase === 'waiting' || (this.strict && this.#phase === 'looking');
  }

  /** Waits for the answer, until the waiter is refused alone or goes away. The last to leave cancels the read. */
  async wait(
    { caller, patienceMs, cancellation: { signal } }: UpstreamRead,
    begin?: () => void,
  ): Promise<ReadResult> {
    const ended = Promise.withResolvers<never>();
    const waiter: Waiter = { caller: caller.queueKey, patienceMs, refuse: ended.reject };
    const gone = (): void => {
      ended.reject(new CallerGone());
    };
    signal.addEventListener('abort', gone, { once: true });
    this.#party.add(waiter);
    try {
      begin?.();
      if (!this.#result) throw new Error('a flight is started by its first waiter');
      return await Promise.race([this.#result, ended.promise]);
    } catch (error) {
      // Refused another try: a call was made all the same.
      const untraced = error instanceof GatewayError && !(error instanceof UpstreamFailure);
      throw untraced ? withCallOutcome(error, this.#failed) : error;
    } finally {
      signal.removeEventListener('abort', gone);
      this.#party.remove(waiter);
      if (this.#party.size === 0) this.#abandon();
    }
  }

  /** Nobody waits any more, though there is no answer yet. Whoever comes next starts anew rather than join a read that is being cancelled. */
  #abandon(): void {
    if (this.#isOver) return;
    this.onEnd();
    this.#cancel.abort(new CallerGone());
    // Its end interests nobody now, but is an end all the same.
    this.#result?.catch(() => undefined);
  }
}

/**
 * However many callers ask for one job at one time, one read answers them (single flight). An error is shared with those
 * who waited, and with nobody later.
 */
export function coalesce(next: Exchange<SharedRead>, clock: Clock = systemClock): Exchange<UpstreamRead> {
  /** The latest flight of each job: the one with most of its way before it. */
  const flights = new Map<string, SharedFlight>();
  return async (trip) => {
    if (trip.cancellation.signal.aborted) throw new CallerGone();
    const { jobId } = trip;
    const underWay = flights.get(jobId);
    if (underWay?.suits(trip)) {
      if (underWay.trace) trip.trace?.joins(underWay.trace);
      const found = await underWay.wait(trip);
      return { ...found, collapsed: found.source === 'upstream' };
    }
    const ended = (): void => {
      if (flights.get(jobId) === flight) flights.delete(jobId);
    };
    const flight = new SharedFlight(trip.mustRevalidate, ended, clock);
    flights.set(jobId, flight);
    return flight.wait(trip, () => {
      flight.start(next, trip);
    });
  };
}
