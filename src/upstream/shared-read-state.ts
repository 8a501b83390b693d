import { type Clock, systemClock } from '../clock.ts';
import type { CallOutcome } from './call-outcome.ts';
import { type QueuePosition, Waiters } from './waiters.ts';

/**
 * How far a shared read is. Calls may be this replica's or another's:
 *
 *     lookup ─▶ queued ─▶ called ─▶ stored
 *                 ▲  ◀──────┤
 *                 └─ failed ◀
 *
 * - `lookup`: a copy may still answer it.
 * - `queued`: a call will be made.
 * - `called`: a call is under way. Patience stands still.
 * - `failed`: the call has failed. It is queued again, or the failure is the answer.
 * - `stored`: the answer of the call is stored.
 */
export type ReadPhase = 'lookup' | 'queued' | 'called' | 'failed' | 'stored';

/** Observes one read. */
export interface ReadObserver {
  /** @param waitMs in how many milliseconds its call is expected */
  onExpectedWait?(waitMs: number): void;
  onPhase?(phase: ReadPhase): void;
}

/** The one state of a shared read, which the layers move along: its phase, the waiters and the observers. */
export class SharedReadState {
  readonly waiters: Waiters;
  readonly #observers = new Set<ReadObserver>();
  #phase: ReadPhase = 'lookup';
  #lastFailure: CallOutcome | undefined;

  constructor(clock: Clock = systemClock) {
    this.waiters = new Waiters(clock);
  }

  get phase(): ReadPhase {
    return this.#phase;
  }

  /** How its latest failed call ended. */
  get lastFailure(): CallOutcome | undefined {
    return this.#lastFailure;
  }

  /** @returns ends the observation */
  observe(observer: ReadObserver): () => void {
    this.#observers.add(observer);
    return () => {
      this.#observers.delete(observer);
    };
  }

  /** Tells observers when the call is expected. Waiters stay: the forecast may improve. */
  expectCall(waitMs: number): void {
    for (const observer of this.#observers) observer.onExpectedWait?.(waitMs);
  }

  /** No call goes for so long. Waiters with less patience are refused. */
  block(waitMs: number): void {
    this.expectCall(waitMs);
    this.waiters.refuseImpatient(waitMs);
  }

  /** @param position starts patience; absent while the read is not in a queue yet */
  queue(position?: QueuePosition): void {
    this.#enter('queued');
    if (position) this.waiters.onEnqueued(position);
  }

  /** Stops patience, whatever the phase. */
  leaveQueue(): void {
    this.waiters.onDequeued();
  }

  call(): void {
    this.waiters.onDequeued();
    this.#enter('called');
  }

  fail(outcome: CallOutcome): void {
    this.#lastFailure = outcome;
    this.#enter('failed');
  }

  store(): void {
    this.#enter('stored');
  }

  #enter(phase: ReadPhase): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    for (const observer of this.#observers) observer.onPhase?.(phase);
  }
}
