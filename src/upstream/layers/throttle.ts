import type { Budget, Permit } from '../../budget/budget.ts';
import { type Clock, sleep, systemClock } from '../../clock.ts';
import { CallerGone } from '../../errors/caller-gone.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import { type Exchange, type Layer, type ReadResult, type SharedRead, withForecast } from '../exchange.ts';
import { type Forecast, tooManyRequests } from '../forecast.ts';
import { PermitQueue } from '../permit-queue.ts';
import { ReadQueue, type Ticket } from '../read-queue.ts';
import { type Slot, Slots } from '../slots.ts';
import type { ThrottleOptions } from '../throttle-options.ts';
import { UpstreamFailure } from '../upstream-failure.ts';
import { Wakeup } from '../wakeup.ts';

/** Longest that a slot waits for a read and its permit, in milliseconds. */
const LONGEST_READY_MS = 1000;
/** Weight of the latest call in the mean duration of calls. */
const LATEST_CALL_WEIGHT = 0.2;

interface QueuedRead extends Ticket {
  readonly read: SharedRead;
  readonly next: Exchange<SharedRead>;
  readonly since: number;
  readonly resolve: (found: ReadResult | PromiseLike<ReadResult>) => void;
  readonly reject: (error: unknown) => void;
}

/** A read and the permit to send it now. */
interface Dispatch {
  readonly queued: QueuedRead;
  readonly permit: Permit;
}

/**
 * The queue before upstream. The read queue decides which read is next and which is evicted, the budget when a call may
 * be sent, and Bottleneck how many are under way and for how long.
 *
 * The slots that stand ready take turns: one waits for a read, a token and a permit, and takes the next read at the
 * moment of the permit. A call is counted as of that moment, so nothing may come between; and a read that has left by
 * then costs nothing.
 */
export class Throttle {
  readonly #queue: ReadQueue<QueuedRead>;
  readonly #permits: PermitQueue;
  readonly #slots: Slots;
  readonly #enqueued = new Wakeup();
  /** Resolves when all ready slots have had their turns. */
  #turns: Promise<unknown> = Promise.resolve();
  /** Recent mean duration of calls, in milliseconds. */
  #meanCallMs = 0;
  #isGettingReady = false;
  /** Slots that stand ready while no read is queued. */
  #spareSlots = 1;

  constructor(
    private readonly budget: Budget,
    private readonly options: ThrottleOptions,
    private readonly clock: Clock = systemClock,
  ) {
    this.#queue = new ReadQueue(options.queueLimit, options.callerLimit);
    const demand = () => ({ slots: this.#slots.available, waiting: this.#queue.size });
    this.#permits = new PermitQueue(budget, demand, clock);
    const longestMs = LONGEST_READY_MS + options.callMs;
    this.#slots = new Slots(options.concurrency, longestMs, (slot) => this.#use(slot), this.#requestSlots);
  }

  /** Queued reads. */
  get depth(): number {
    return this.#queue.size;
  }

  /** From now on no slot stands ready without a read: the timer of its expiration would keep the process alive. */
  end(): void {
    this.#spareSlots = 0;
    this.#enqueued.notify();
  }

  readonly layer: Layer<SharedRead> = (next) =>
    withForecast(
      async (read) => {
        if (read.cancellation.signal.aborted) throw new CallerGone();
        const { waitMs } = this.#forecast(read);
        if (waitMs > read.state.waiters.patienceMs) throw tooManyRequests(waitMs);
        read.state.expectCall(waitMs);
        return this.#enqueue(read, next);
      },
      (read) => this.#forecast(read),
    );

  async #enqueue(read: SharedRead, next: Exchange<SharedRead>): Promise<ReadResult> {
    const { promise, resolve, reject } = Promise.withResolvers<ReadResult>();
    const { callers, isRetry, staleCopy, mustRevalidate } = read;
    const place = { callers, isRetry, staleCopy, mustRevalidate };
    const queued: QueuedRead = { ...place, read, next, since: this.clock.now(), resolve, reject };
    const evicted = this.#queue.enqueue(queued);
    evicted?.reject(tooManyRequests(this.#forecast(evicted).waitMs));
    if (evicted === queued) return promise;
    const gone = (): void => {
      this.#queue.remove(queued);
      reject(new CallerGone());
    };
    read.cancellation.signal.addEventListener('abort', gone, { once: true });
    read.state.queue({
      forecast: () => ({
        waitMs: this.#turnMs(this.#queue.positionOf(queued)),
        refusal: () => this.#refusal(read),
      }),
      onCallersChanged: () => {
        this.#queue.updateCallers(queued);
      },
    });
    this.#enqueued.notify();
    this.#requestSlots();
    try {
      return await promise;
    } finally {
      read.cancellation.signal.removeEventListener('abort', gone);
      read.state.leaveQueue();
    }
  }

  /** A slot for each queued read, or for the next one to come. */
  readonly #requestSlots = (): void => {
    this.#slots.request(Math.max(this.#spareSlots, this.#queue.size));
    this.#permits.onDemandGrew();
  };

  /** Makes one call, if a read may be sent in time. Never rejects. */
  async #use(slot: Slot): Promise<void> {
    this.#permits.onDemandGrew();
    const until = this.clock.now() + LONGEST_READY_MS;
    const turn = this.#turns.then(() => this.#nextDispatch(slot, until));
    this.#turns = turn;
    const dispatch = await turn;
    this.#slots.take(slot);
    this.#requestSlots();
    if (dispatch) await this.#call(dispatch, slot);
  }

  /** Waits until a read may be sent, and takes the next one. Never rejects. */
  async #nextDispatch({ expired }: Slot, until: number): Promise<Dispatch | undefined> {
    try {
      while (this.clock.now() < until) {
        if (this.#queue.size === 0) await this.#untilEnqueued(until);
        if (this.#queue.size === 0) break;
        await this.#getReady();
        if (this.#queue.size === 0) continue;
        const permit = await this.#permits.next();
        if (typeof permit === 'number') await this.#awaitBudget(permit);
        else {
          // Upstream may have failed, or the token been refused, before the moment came.
          await this.#getReady();
          const queued = permit.isValid() && !expired.aborted ? this.#queue.dequeue() : undefined;
          if (queued) return { queued, permit };
          permit.release();
        }
      }
    } catch (error) {
      this.#rejectAll(error);
    }
    return undefined;
  }

  async #untilEnqueued(until: number): Promise<void> {
    this.#permits.releaseAll();
    if (this.#spareSlots > 0) await this.#enqueued.wait(until - this.clock.now(), this.clock);
  }

  async #awaitBudget(waitMs: number): Promise<void> {
    if (waitMs > LONGEST_READY_MS) this.#block(waitMs);
    await sleep(this.clock, Math.ceil(Math.min(waitMs, LONGEST_READY_MS)));
  }

  async #getReady(): Promise<void> {
    this.#isGettingReady = true;
    await this.options.ready().finally(() => {
      this.#isGettingReady = false;
    });
  }

  /** Without upstream, a token or an answer of the budget no queued read can be sent. */
  #rejectAll(error: unknown): void {
    this.#permits.releaseAll();
    for (let queued = this.#queue.dequeue(); queued; queued = this.#queue.dequeue()) queued.reject(error);
  }

  /** Never rejects: the outcome is the queued read's. */
  async #call({ queued, permit }: Dispatch, { expired }: Slot): Promise<void> {
    const { read, next, since, resolve, reject } = queued;
    const sentAt = this.clock.now();
    read.state.call();
    this.options.onSlot?.(sentAt - since);
    expired.addEventListener('abort', () => {
      reject(GatewayError.of('UpstreamTimeout'));
    });
    try {
      const onRequestSent = (): void => {
        permit.sent();
      };
      const signal = AbortSignal.any([read.cancellation.signal, expired]);
      const found = await next({ ...read, onRequestSent, cancellation: { signal } });
      permit.answered();
      resolve(found);
    } catch (error) {
      if (error instanceof UpstreamFailure && error.hasAnswer) permit.answered();
      this.#applyBackpressure(error);
      reject(error);
    } finally {
      this.#meanCallMs += (this.clock.now() - sentAt - this.#meanCallMs) * LATEST_CALL_WEIGHT;
    }
  }

  /** Closes the gate if upstream demands it, before another call can be sent. */
  #applyBackpressure(error: unknown): void {
    if (!(error instanceof UpstreamFailure)) return;
    const { kind, retryAfterMs } = error.call;
    if (kind === 'rate-limited') this.budget.onRateLimited(retryAfterMs);
    const { closedMs } = this.budget.state();
    if (closedMs > 0) this.#block(closedMs);
  }

  /** No call goes for so many milliseconds. */
  #block(waitMs: number): void {
    for (const { read } of this.#queue) read.state.block(waitMs);
  }

  #forecast(read: Ticket): Forecast {
    const position = read.isRetry ? 0 : this.#queue.positionForNew(read);
    return { waitMs: this.#turnMs(position), refusal: () => this.#refusal(read) };
  }

  /** When a read with this position can be sent, by the budget and by the slots, in milliseconds from now. */
  #turnMs(position: number): number {
    const { concurrency } = this.options;
    const callsToEnd = Math.max(0, position + this.#slots.calling + 1 - concurrency);
    const slotMs = (callsToEnd * this.#meanCallMs) / concurrency;
    return Math.max(this.budget.forecastMs(position + 1), slotMs);
  }

  /** The answer to a waiter whose patience ends in the queue, here or at another replica. */
  #refusal(read: Ticket): GatewayError {
    if (this.#isGettingReady)
      return GatewayError.of('ServiceUnavailable', { retryAfterMs: LONGEST_READY_MS });
    return tooManyRequests(this.#forecast(read).waitMs);
  }
}
