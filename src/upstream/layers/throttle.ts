import Bottleneck from 'bottleneck';
import type { Budget, Permit } from '../../budget/budget.ts';
import { type Clock, deadline, sleep, systemClock } from '../../clock.ts';
import { GatewayError } from '../../errors/gateway-error.ts';
import { CallerGone } from '../../errors/caller-gone.ts';
import type { Exchange, SharedRead, ReadResult, Layer } from '../exchange.ts';
import { Wakeup } from '../wakeup.ts';
import { Line, type Ticket } from '../line.ts';
import { tooManyRequests } from '../waiters.ts';
import { PermitQueue } from '../permit-queue.ts';
import type { ThrottleOptions } from '../throttle-options.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/** Longest that a slot is held for a read and the budget's "go", in milliseconds: its life is bounded however long there is none. */
const LONGEST_ASKING_MS = 1000;
/** How much the newest call counts in the mean of how long calls take. */
const NEWEST_CALL_WEIGHT = 0.2;

/** A read in line. */
interface Waiting extends Ticket {
  readonly read: SharedRead;
  readonly next: Exchange<SharedRead>;
  readonly since: number;
  readonly resolve: (found: ReadResult | PromiseLike<ReadResult>) => void;
  readonly reject: (error: unknown) => void;
}

/** A read that may be sent. */
interface Going {
  readonly ticket: Waiting | undefined; // None when the last one has left meanwhile.
  readonly permit: Permit;
}

/**
 * The queue before upstream. Reads wait in a fair line. Up to `concurrency` slots of Bottleneck are held by calls under
 * way and by those that wait for a permit of the budget; one at a time has its turn, and takes the next in line when the moment
 * of its permit comes. So a read is chosen and sent in the moment that it is counted as of (whatever came between would shift what
 * upstream counts), and whoever has left by then costs nothing. A read that cannot have a slot in time is refused when it comes.
 */
export class Throttle {
  readonly #line: Line<Waiting>;
  readonly #bottleneck: Bottleneck;
  /** Slots held by askers, and by calls under way. */
  #asking = 0;
  #underWay = 0;
  /** How long calls have taken of late, in milliseconds. */
  #meanCallMs = 0;
  /** Resolves when the last asker has had its turn. */
  #turns: Promise<unknown> = Promise.resolve();
  readonly #entered = new Wakeup();
  readonly #permits: PermitQueue;
  #gettingReady = false;

  constructor(
    private readonly budget: Budget,
    private readonly options: ThrottleOptions,
    private readonly clock: Clock = systemClock,
  ) {
    this.#line = new Line(options.queueLimit, options.callerLimit);
    const demand = () => ({ slots: this.#asking, waiting: this.#line.size });
    this.#permits = new PermitQueue(budget, demand, clock);
    this.#bottleneck = new Bottleneck({ maxConcurrent: options.concurrency });
  }

  /** Reads waiting for a slot. */
  get depth(): number {
    return this.#line.size;
  }

  readonly layer: Layer<SharedRead> = (next) => async (read) => {
    if (read.cancellation.signal.aborted) throw new CallerGone();
    const waitMs = this.forecastMs(read);
    if (waitMs > read.waiters.patienceMs) throw tooManyRequests(waitMs);
    if (read.isRetry) read.onQueued();
    read.progress?.onExpectedWait(waitMs);
    return this.#wait(read, next);
  };

  async #wait(read: SharedRead, next: Exchange<SharedRead>): Promise<ReadResult> {
    const { promise, resolve, reject } = Promise.withResolvers<ReadResult>();
    const ticket: Waiting = {
      read,
      next,
      since: this.clock.now(),
      resolve,
      reject,
      again: read.isRetry,
      refreshes: read.staleCopy?.readAt,
      strict: read.mustRevalidate,
      get callers() {
        return read.waiters.callers;
      },
    };
    const gone = (): void => {
      this.#line.leave(ticket);
      reject(new CallerGone());
    };
    const turnedAway = this.#line.enter(ticket);
    turnedAway?.reject(tooManyRequests(this.forecastMs(turnedAway.read)));
    if (turnedAway === ticket) return promise;
    read.cancellation.signal.addEventListener('abort', gone, { once: true });
    read.waiters.onEnqueued({
      forecastMs: () => this.#turnMs(this.#line.before(ticket)),
      refusal: () => this.refusal(read),
      onCallersChanged: () => {
        this.#line.callersChanged(ticket);
      },
    });
    this.#entered.notify();
    this.#takeSlots();
    try {
      return await promise;
    } finally {
      read.cancellation.signal.removeEventListener('abort', gone);
      read.waiters.onDequeued();
    }
  }

  /** As many askers as there are reads for, and slots; one even for none: Bottleneck takes some 5 ms, which the next read is spared. */
  #takeSlots(): void {
    const free = this.options.concurrency - this.#underWay;
    while (this.#asking < Math.min(Math.max(1, this.#line.size), free)) {
      this.#asking++;
      // Bounded by the time for asking and by the call's own end, so that Bottleneck needs no timer for each slot.
      this.#bottleneck.schedule(() => this.#useSlot()).catch(() => undefined);
    }
    this.#permits.onDemandGrew();
  }

  async #useSlot(): Promise<void> {
    const until = this.clock.now() + LONGEST_ASKING_MS;
    const turn = this.#turns.then(() => this.#nextToSend(until));
    this.#turns = turn;
    const going = await turn;
    this.#asking--;
    if (going && !going.ticket) going.permit.release();
    if (going?.ticket) {
      this.#underWay++;
      await this.#call(going.ticket, going.permit);
      this.#underWay--;
    }
    this.#takeSlots();
  }

  /** Waits until a read may be sent, and takes the next in line. Never rejects. */
  async #nextToSend(until: number): Promise<Going | undefined> {
    try {
      while (this.clock.now() < until) {
        if (this.#line.size === 0) this.#permits.giveBack();
        if (this.#line.size === 0) await this.#entered.wait(until - this.clock.now(), this.clock);
        if (this.#line.size === 0) break;
        await this.#ready();
        if (this.#line.size === 0) continue;
        const answer = await this.#permits.next();
        if (typeof answer === 'number') {
          if (answer > LONGEST_ASKING_MS) this.#noneBefore(answer);
          await sleep(this.clock, Math.ceil(Math.min(answer, LONGEST_ASKING_MS)));
          continue;
        }
        // Upstream may have been given up, or the token lost, before the moment came.
        await this.#ready();
        if (answer.isValid()) return { ticket: this.#line.next(), permit: answer };
        answer.release();
      }
    } catch (error) {
      this.#permits.giveBack();
      // Without upstream, a token, or an answer of the budget, none of those in line can be sent.
      for (let ticket = this.#line.next(); ticket; ticket = this.#line.next()) ticket.reject(error);
    }
    return undefined;
  }

  async #ready(): Promise<void> {
    this.#gettingReady = true;
    await this.options.ready().finally(() => {
      this.#gettingReady = false;
    });
  }

  /** Never rejects: what comes of it is the ticket's. */
  async #call({ read, next, since, resolve, reject }: Waiting, permit: Permit): Promise<void> {
    read.waiters.onDequeued();
    read.onSent();
    this.options.onSlot?.(this.clock.now() - since);
    const { signal: expired, clear } = deadline(this.clock, this.options.callMs);
    const sentAt = this.clock.now();
    try {
      const onRequestSent = (): void => {
        permit.sent();
      };
      const signal = AbortSignal.any([read.cancellation.signal, expired]);
      resolve(await next({ ...read, onRequestSent, cancellation: { signal } }));
    } catch (error) {
      this.#heed(error);
      reject(
        expired.aborted && !read.cancellation.signal.aborted ? GatewayError.of('UpstreamTimeout') : error,
      );
    } finally {
      clear();
      permit.answered();
      this.#meanCallMs += (this.clock.now() - sentAt - this.#meanCallMs) * NEWEST_CALL_WEIGHT;
    }
  }

  /** Closes the gate, before anything else can be sent, if upstream wants that. */
  #heed(error: unknown): void {
    if (!(error instanceof UpstreamFailure)) return;
    const { kind, retryAfterMs } = error.call;
    if (kind === 'rate-limited') this.budget.onRateLimited(retryAfterMs);
    const { closedMs } = this.budget.state();
    if (closedMs > 0) this.#noneBefore(closedMs);
  }

  /** Nothing goes for so many milliseconds. */
  #noneBefore(waitMs: number): void {
    for (const { read } of this.#line) {
      read.progress?.onExpectedWait(waitMs);
      read.waiters.onExpectedWait(waitMs);
    }
  }

  /** When a new read has its turn, in milliseconds from now. */
  forecastMs({ waiters, staleCopy, mustRevalidate, isRetry }: SharedRead): number {
    if (isRetry) return this.#turnMs(0);
    if (!staleCopy) return this.#turnMs(this.#line.ahead(waiters.callers));
    return mustRevalidate
      ? this.#turnMs(this.#line.aheadOfStrict(waiters.callers))
      : this.forecastRefreshMs(staleCopy);
  }

  /** When the refresh of a copy would have its turn, in milliseconds from now. */
  forecastRefreshMs({ readAt }: { readonly readAt: number }): number {
    return this.#turnMs(this.#line.aheadOfRefresh(readAt));
  }

  /** When the budget lets a read go before which so many go, and a slot is free of them. */
  #turnMs(before: number): number {
    const toEnd = Math.max(0, before + this.#underWay + 1 - this.options.concurrency);
    const slotMs = (toEnd * this.#meanCallMs) / this.options.concurrency;
    return Math.max(this.budget.forecastMs(before + 1), slotMs);
  }

  /** What a waiter is told whose patience ends in line, here or at another replica. */
  refusal(read: SharedRead): GatewayError {
    if (this.#gettingReady) return GatewayError.of('ServiceUnavailable', { retryAfterMs: LONGEST_ASKING_MS });
    return tooManyRequests(this.forecastMs(read));
  }
}
