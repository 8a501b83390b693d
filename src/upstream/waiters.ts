import { type Clock, systemClock } from '../clock.ts';
import { GatewayError } from '../errors/gateway-error.ts';

/** One caller's wait for the answer. */
export interface Waiter {
  /** Whose line it stands in. */
  readonly caller: string;
  /** How long it is ready to wait for slots, all told, in milliseconds. */
  readonly patienceMs: number;
  /** Ends this wait alone. */
  readonly refuse: (error: GatewayError) => void;
}

/** What is left of a waiter's patience, and the timer that runs while the read stands in line. */
interface Patience {
  leftMs: number;
  since: number;
  cancel?: () => void;
}

/** The read's place in line. */
export interface QueuePosition {
  /** In how many milliseconds its turn is to be expected. */
  readonly forecastMs: () => number;
  /** What a waiter is told that does not wait any longer. */
  readonly refusal: () => GatewayError;
  /** Called when a caller is the first of its name to wait, or the last to leave. */
  readonly onCallersChanged: () => void;
}

/**
 * Those who wait for one read. Their patience is for slots: it runs while the read stands in line and stops while a call
 * is under way. A waiter whose own ends is refused alone.
 */
export class Waiters {
  readonly #waiters = new Map<Waiter, Patience>();
  readonly #callers = new Map<string, number>();
  #place: QueuePosition | undefined;

  constructor(private readonly clock: Clock = systemClock) {}

  get size(): number {
    return this.#waiters.size;
  }

  /** How long the most patient of them would wait from now, in milliseconds. */
  get patienceMs(): number {
    const now = this.clock.now();
    return Math.max(...[...this.#waiters.values()].map((patience) => leftOf(patience, now)));
  }

  /** The names of the callers that wait, each once. */
  get callers(): Iterable<string> {
    return this.#callers.keys();
  }

  add(waiter: Waiter): void {
    const patience: Patience = { leftMs: waiter.patienceMs, since: 0 };
    this.#waiters.set(waiter, patience);
    const waits = this.#callers.get(waiter.caller) ?? 0;
    this.#callers.set(waiter.caller, waits + 1);
    if (waits === 0) this.#place?.onCallersChanged();
    if (this.#place) this.#run(waiter, patience, this.#place);
  }

  remove(waiter: Waiter): void {
    const patience = this.#waiters.get(waiter);
    if (!patience) return;
    patience.cancel?.();
    this.#waiters.delete(waiter);
    const waits = this.#callers.get(waiter.caller) ?? 0;
    if (waits > 1) {
      this.#callers.set(waiter.caller, waits - 1);
    } else {
      this.#callers.delete(waiter.caller);
      this.#place?.onCallersChanged();
    }
  }

  /** The read stands in line: patience runs. */
  onEnqueued(place: QueuePosition): void {
    this.#place = place;
    for (const [waiter, patience] of this.#waiters) this.#run(waiter, patience, place);
  }

  /** The read has left the line: its call is under way, or it never will be. Patience stops. */
  onDequeued(): void {
    if (!this.#place) return;
    this.#place = undefined;
    const now = this.clock.now();
    for (const patience of this.#waiters.values()) {
      patience.cancel?.();
      delete patience.cancel;
      patience.leftMs -= now - patience.since;
    }
  }

  /** The read goes in so many milliseconds at the soonest: those who would not wait so long are refused now. */
  onExpectedWait(waitMs: number): void {
    const now = this.clock.now();
    for (const [waiter, patience] of this.#waiters) {
      if (waitMs > leftOf(patience, now)) waiter.refuse(tooManyRequests(waitMs));
    }
  }

  #run(waiter: Waiter, patience: Patience, { forecastMs, refusal }: QueuePosition): void {
    patience.since = this.clock.now();
    const waitMs = forecastMs();
    if (waitMs > patience.leftMs) waiter.refuse(tooManyRequests(waitMs));
    patience.cancel = this.clock.after(patience.leftMs, () => {
      waiter.refuse(refusal());
    });
  }
}

function leftOf({ leftMs, since, cancel }: Patience, now: number): number {
  return leftMs - (cancel ? now - since : 0);
}

/** What is told who would have to wait longer than it is ready to. */
export function tooManyRequests(retryAfterMs: number): GatewayError {
  return GatewayError.of('TooManyRequests', { retryAfterMs });
}
