import { type Clock, systemClock } from '../clock.ts';
import type { GatewayError } from '../errors/gateway-error.ts';
import { type Forecast, tooManyRequests } from './forecast.ts';

/** One caller's wait for the answer. */
export interface Waiter {
  /** Queue key of the caller. */
  readonly caller: string;
  /** Longest wait in queues, in all, in milliseconds. */
  readonly patienceMs: number;
  /** Ends this wait and no other. */
  readonly refuse: (error: GatewayError) => void;
}

/** What is left of a waiter's patience. */
interface Patience {
  leftMs: number;
  /** When the timer was started, on the clock. */
  since: number;
  /** Present while the read is queued. */
  cancelTimer?: () => void;
}

/** Where the read waits for its call. */
export interface QueuePosition {
  forecast(): Forecast;
  /** Called when a caller's first waiter comes or its last one leaves. */
  onCallersChanged?(): void;
}

/**
 * The waiters of one read. Their patience runs while the read is queued and stands still while a call is under way. A
 * waiter without patience left is refused alone.
 */
export class Waiters {
  readonly #waiters = new Map<Waiter, Patience>();
  readonly #waitsOf = new Map<string, number>();
  #position: QueuePosition | undefined;

  /** Queue keys of the callers, each once. */
  readonly callers: Iterable<string> = { [Symbol.iterator]: () => this.#waitsOf.keys() };

  constructor(private readonly clock: Clock = systemClock) {}

  get size(): number {
    return this.#waiters.size;
  }

  /** Patience of the most patient waiter from now, in milliseconds. */
  get patienceMs(): number {
    const now = this.clock.now();
    return Math.max(...[...this.#waiters.values()].map((patience) => leftOf(patience, now)));
  }

  add(waiter: Waiter): void {
    const patience: Patience = { leftMs: waiter.patienceMs, since: 0 };
    this.#waiters.set(waiter, patience);
    const waits = this.#waitsOf.get(waiter.caller) ?? 0;
    this.#waitsOf.set(waiter.caller, waits + 1);
    // Before the forecast: with another caller the read may have its turn sooner.
    if (waits === 0) this.#position?.onCallersChanged?.();
    if (this.#position) this.#startTimer(waiter, patience, this.#position);
  }

  remove(waiter: Waiter): void {
    const patience = this.#waiters.get(waiter);
    if (!patience) return;
    patience.cancelTimer?.();
    this.#waiters.delete(waiter);
    const waits = this.#waitsOf.get(waiter.caller) ?? 0;
    if (waits > 1) {
      this.#waitsOf.set(waiter.caller, waits - 1);
    } else {
      this.#waitsOf.delete(waiter.caller);
      this.#position?.onCallersChanged?.();
    }
  }

  /** Starts patience, and refuses waiters whose patience is shorter than the forecast. */
  onEnqueued(position: QueuePosition): void {
    this.#position = position;
    for (const [waiter, patience] of this.#waiters) this.#startTimer(waiter, patience, position);
  }

  /** Stops patience: a call is under way, or none will be made. */
  onDequeued(): void {
    if (!this.#position) return;
    this.#position = undefined;
    const now = this.clock.now();
    for (const patience of this.#waiters.values()) {
      patience.cancelTimer?.();
      delete patience.cancelTimer;
      patience.leftMs -= now - patience.since;
    }
  }

  /** Refuses waiters that would not wait for so long. */
  refuseImpatient(waitMs: number): void {
    const now = this.clock.now();
    for (const [waiter, patience] of this.#waiters) {
      if (waitMs > leftOf(patience, now)) waiter.refuse(tooManyRequests(waitMs));
    }
  }

  #startTimer(waiter: Waiter, patience: Patience, position: QueuePosition): void {
    patience.since = this.clock.now();
    const { waitMs } = position.forecast();
    if (waitMs > patience.leftMs) waiter.refuse(tooManyRequests(waitMs));
    patience.cancelTimer = this.clock.after(patience.leftMs, () => {
      waiter.refuse(position.forecast().refusal());
    });
  }
}

function leftOf({ leftMs, since, cancelTimer }: Patience, now: number): number {
  return leftMs - (cancelTimer ? now - since : 0);
}
