import { type Clock, systemClock } from '../clock.ts';
import { ArrivalDelay } from './arrival-delay.ts';
import type { Grant, Permit } from './budget.ts';
import type { BudgetStore, Knowledge, Operation, Reply } from './budget-store.ts';
import { Forecast } from './forecast.ts';
import type { Gate } from './gate.ts';
import { GrantedPermit, horizonMs, type PermitRules } from './granted-permit.ts';
import type { Ledger } from './ledger.ts';
import { refusingWindow } from './limit-share.ts';
import type { NamedWindow } from './local-budget.ts';
import { OwnSends } from './own-sends.ts';
import { SharedWindows } from './shared-windows.ts';
import { StateIntroduction } from './state-introduction.ts';
import { StoreClock } from './store-clock.ts';
import type { SpreadWindow } from './window.ts';

/** A state that changes under each of so many attempts is not to be caught up with. */
const MOST_ATTEMPTS = 5;
/**
 * How far ahead sends are granted, in milliseconds: so long from a near store (a busy process asks late), and some answers' time more
 * from a far one, so that there are always permits at hand for what is due. No further: replicas hear of a closing with an answer.
 */
const NEAR_HORIZON_MS = 50;
const ANSWERS_AHEAD = 3;
/** How late a permit may be used at all, in milliseconds. */
const USABLE_MS = 250;
const LONGEST_HORIZON_MS = 900;

export interface SharedBudgetOptions {
  readonly store: Pick<BudgetStore, 'run' | 'replica'>;
  /** The sizes of the windows; their progress is in the store. */
  readonly windows: readonly NamedWindow[];
  readonly ledger: Ledger;
  readonly gate: Gate;
  readonly latenessMs: number;
  readonly clock?: Clock;
  /** Told what limits the other replicas go by, if they are not the ones of this one. */
  readonly onOtherLimits?: ((limits: readonly string[]) => void) | undefined;
}

/** The budget that all replicas share. Whatever it is asked, it throws when the store cannot be asked. */
export class SharedBudget {
  readonly #options: SharedBudgetOptions;
  readonly #forecast: Forecast;
  readonly #introduction: StateIntroduction;
  readonly #own: OwnSends;
  readonly #windows: SharedWindows;
  readonly #clock: Clock;
  readonly #rules: PermitRules;
  readonly #storeClock = new StoreClock();
  /** The state that knows all that this replica knows, once that has been told to the end. */
  #version: string | undefined;
  #cursors: readonly string[] | undefined;
  #completions = 0;
  #others: readonly number[] = [];
  #storeClosedUntil = -Infinity;
  /** When the store answered last. */
  heardAt: number;

  constructor(options: SharedBudgetOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.heardAt = this.#clock.now();
    const { gate, latenessMs, ledger, windows } = options;
    const usableMs = horizonMs(windows, USABLE_MS);
    this.#rules = { gate, latenessMs, usableMs, clock: this.#clock, arrivalDelay: new ArrivalDelay() };
    this.#forecast = new Forecast(() => ({ windows: this.windows(), opensAt: options.gate.closedUntil }));
    this.#windows = new SharedWindows(windows, ledger);
    this.#own = new OwnSends(ledger, options.store.replica, windows[0]?.limit ?? 1);
    this.#introduction = new StateIntroduction(ledger, this.#clock, (operation) => this.#ask(operation));
  }

  /** As `Budget.ask`. */
  async tryAcquire(count: number): Promise<Grant> {
    const sends = this.#own.reserve(count, this.#clock.now());
    try {
      const { moments, wait, now } = await this.#run({ op: 'ask', sends, ...this.#reach() });
      this.#own.release(sends.slice(moments.length));
      const granted = sends.slice(0, moments.length);
      const permits = granted.map((send, index) => this.#permit(send, now + (moments[index] ?? 0)));
      return { permits, waitMs: Math.max(0, this.#storeClock.toLocal(now + wait) - this.#clock.now()) };
    } catch (error) {
      // It may have been granted all the same.
      this.#own.lost(sends);
      throw error;
    }
  }

  /** From when on and up to when, from now, the store is to grant. */
  #reach(): { lead: number; horizon: number } {
    const lead = Math.min(this.#storeClock.leadMs, LONGEST_HORIZON_MS / 2);
    const ahead = NEAR_HORIZON_MS + ANSWERS_AHEAD * lead;
    const horizon = Math.max(horizonMs(this.#options.windows, ahead), 2 * lead);
    return { lead, horizon: Math.min(horizon, LONGEST_HORIZON_MS) };
  }

  #permit(send: string, storeTime: number): Permit {
    const at = this.#storeClock.toLocal(storeTime);
    this.#own.granted(send, at);
    this.#changed();
    return new GrantedPermit(at, this.#rules, {
      onSent: () => {
        this.#own.sent(send);
      },
      onMoved: (_, to) => {
        this.#countAsOf(send, to);
      },
      onUnused: () => {
        this.#own.giveBack(send);
        this.#windows.changed();
      },
    });
  }

  /** Counts a send as of a later time than was granted. Nobody waits for that; if it fails it stays as it was. */
  #countAsOf(send: string, at: number): void {
    this.#own.record(send, at);
    const agoMs = Math.max(0, this.#clock.now() - at);
    this.#options.store.run(this.#knowledge(), { op: 'recount', send, agoMs }).catch(() => undefined);
  }

  /** Tells of the newest send of this replica, which was let go elsewhere. */
  async recordNewest(): Promise<void> {
    if (this.#own.newest !== undefined) await this.#run({ op: 'note', send: this.#own.newest });
  }

  /** Keeps what is known of the others up to date, and lets them know how many reads wait here. */
  async sync(waiting: number): Promise<void> {
    const { others, otherLimits, completions } = await this.#run({ op: 'look', waiting });
    this.#others = others;
    if (this.#completions !== completions) await this.#introduction.list();
    this.#completions = completions;
    if (otherLimits.length > 0) this.#options.onOtherLimits?.(otherLimits);
  }

  /** @param shares the part of each limit that is in use, where that was cut elsewhere */
  async close(forMs: number, shares: readonly number[] = this.shares): Promise<void> {
    await this.#run({ op: 'close', forMs, shares });
  }

  /** For how many milliseconds the gate was closed in the store when it answered last. */
  storeClosedMs(): number {
    return Math.max(0, this.#storeClosedUntil - this.#clock.now());
  }

  /** @param retryAfterMs what upstream itself said, if it said for how long */
  async onRateLimited(forMs: number, retryAfterMs: number | undefined): Promise<void> {
    const cuts = refusingWindow(this.#options.windows, retryAfterMs)?.name;
    await this.#run({ op: 'refused', forMs, explained: retryAfterMs !== undefined, cuts });
  }

  /** As `Budget.forecastMs`: those who wait at other replicas get a go as often as those who wait here. */
  forecastMs(nth: number): number {
    const between = this.#others.reduce((sum, waiting) => sum + Math.min(waiting, nth), 0);
    const now = this.#clock.now();
    // A closing that has just come is in no forecast yet.
    return Math.max(this.#options.gate.closedMs(), this.#forecast.forecastMs(nth + between, now));
  }

  /** Notes a send of this replica that was let go elsewhere. */
  recordSend(at: number): void {
    this.#own.noteElsewhere(at);
    this.#changed();
  }

  #changed(): void {
    this.#windows.changed();
    this.#forecast.sent();
  }

  /** The windows as the store had them when it answered last. */
  windows(): readonly SpreadWindow[] {
    return this.#windows.at(this.#clock.now());
  }

  /** The part of each limit that is in use. */
  get shares(): number[] {
    return this.#windows.shares;
  }

  /** Runs an operation on a state that knows all that this replica knows. */
  async #run(operation: Operation): Promise<Reply> {
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const reply = await this.#ask(operation);
      if (reply.known) return reply;
      const { version, cursors } = await this.#introduction.introduce({
        closedMs: this.#options.gate.closedMs(),
        shares: this.shares,
        isFirst: !this.#windows.isKnown,
      });
      [this.#version, this.#cursors] = [version, cursors];
    }
    throw new Error('the shared budget changes too fast');
  }

  async #ask(operation: Operation): Promise<Reply> {
    const askedAt = this.#clock.now();
    const knowledge = this.#knowledge();
    const reply = await this.#options.store.run(knowledge, operation);
    const now = this.#clock.now();
    this.#storeClock.observe(reply.now, askedAt, now);
    if (reply.known) {
      this.#own.told(knowledge.unused);
      [this.#version, this.#cursors] = [reply.version, reply.cursors];
    }
    this.#take(reply, now);
    return reply;
  }

  #take(reply: Reply, now: number): void {
    this.heardAt = now;
    const { ledger, gate } = this.#options;
    const storeNow = this.#storeClock.toLocal(reply.now);
    // No send lies further ahead than any is granted: it would count until then.
    for (const [size, id, ago] of reply.sends) {
      if (this.#own.isKnown(size, id)) continue;
      ledger.record(size, id, Math.min(storeNow - ago, now + LONGEST_HORIZON_MS));
    }
    const closedMs = reply.closedMs > 0 ? Math.max(0, storeNow + reply.closedMs - now) : 0;
    gate.close(closedMs, 'replica');
    this.#storeClosedUntil = now + Math.min(closedMs, gate.longestClosingMs);
    this.#windows.changed();
    if (reply.version === undefined) return;
    this.#windows.update(reply.windows, storeNow, now + LONGEST_HORIZON_MS, gate.closedUntil);
  }

  #knowledge(): Knowledge & { readonly unused: readonly string[] } {
    const newest = this.#own.newestKept(this.#clock.now());
    return { version: this.#version, cursors: this.#cursors, newest, unused: this.#own.unused };
  }
}
