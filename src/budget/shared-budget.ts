import { type Clock, systemClock } from '../clock.ts';
import type { Permit } from './budget.ts';
import type { BudgetStore, Knowledge, Operation, Reply } from './budget-store.ts';
import { Forecast } from './forecast.ts';
import type { Gate } from './gate.ts';
import type { Ledger } from './ledger.ts';
import { refusingWindow } from './limit-share.ts';
import { type NamedWindow, TOLERATED_LAG_MS } from './local-budget.ts';
import type { SpreadWindow } from './window.ts';
import { boundProgress, type WindowProgress } from './window-progress.ts';

/** A state that changes under each of so many attempts is not to be caught up with. */
const MOST_ATTEMPTS = 5;
/** A send that leaves the longest window within so many milliseconds may have been dropped by the store already. */
const LEAVING_MS = 200;

export interface SharedBudgetOptions {
  readonly store: Pick<BudgetStore, 'run' | 'replica'>;
  /** The sizes of the windows; their progress is in the store. */
  readonly windows: readonly NamedWindow[];
  readonly ledger: Ledger;
  readonly gate: Gate;
  readonly latenessMs: number;
  readonly clock?: Clock;
}

/** The budget that all replicas share. Whatever it is asked, it throws when the store cannot be asked. */
export class SharedBudget {
  readonly #options: SharedBudgetOptions;
  readonly #forecast: Forecast;
  #version: string | undefined;
  #cursor: string | undefined;
  #sent = 0;
  #last: string | undefined;
  /** Of each window, when the store answered last. */
  #progress: readonly WindowProgress[] = [];
  /** Made of it when they are looked at. */
  #windows: readonly SpreadWindow[] | undefined;
  #others: readonly number[] = [];
  #storeClosedUntil = -Infinity;
  readonly #clock: Clock;
  /** When the store answered last. */
  heardAt: number;

  constructor(options: SharedBudgetOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.heardAt = this.#clock.now();
    this.#forecast = new Forecast(() => ({ windows: this.windows(), opensAt: options.gate.closedUntil }));
  }

  /** As `Budget.ask`. */
  async ask(): Promise<Permit | number> {
    const id = this.#nextId();
    const askedAt = this.#clock.now();
    const { latenessMs: lateness } = this.#options;
    const { wait = 0 } = await this.#run({ op: 'ask', id, lateness });
    if (wait > 0) return wait;
    this.noteSend(id);
    return {
      sent: () => {
        if (this.#clock.now() - askedAt > TOLERATED_LAG_MS) this.#countAnew(id, lateness);
      },
    };
  }

  /** Asked for once more, a send is counted as of then. Nobody waits for that; if it fails it stays as it was. */
  #countAnew(id: string, lateness: number): void {
    this.#options.store
      .run(this.#knowledge(this.#clock.now()), { op: 'ask', id, lateness })
      .catch(() => undefined);
  }

  /** Tells of the last send of this replica, which was let go elsewhere. */
  async tellLast(): Promise<void> {
    if (this.#last !== undefined) await this.#run({ op: 'note', id: this.#last });
  }

  /** Keeps what is known of the others up to date, and lets them know how many reads wait here. */
  async look(waiting: number): Promise<void> {
    this.#others = (await this.#run({ op: 'look', waiting })).others;
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
  async refused(forMs: number, retryAfterMs: number | undefined): Promise<void> {
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

  /** Notes a send of this replica that was let go here or elsewhere. */
  noteSend(id = this.#nextId()): void {
    this.#options.ledger.note(id, this.#clock.now());
    this.#last = id;
    this.#sent++;
    this.#windows = undefined;
    this.#forecast.sent();
  }

  /** The windows as the store had them when it answered last, on the clock of this process. */
  windows(): readonly SpreadWindow[] {
    this.#windows ??= this.#make();
    return this.#windows;
  }

  #make(): SpreadWindow[] {
    const times = this.#options.ledger.times(this.#clock.now());
    return this.#options.windows.map(({ window }, index) => {
      const progress = this.#progress[index];
      return progress ? window.at(progress, [...times]) : window.clone();
    });
  }

  /** The part of each limit that is in use. */
  get shares(): number[] {
    return this.#options.windows.map((_, index) => this.#progress[index]?.share ?? 1);
  }

  /** Runs an operation on a state that knows all that this replica knows. */
  async #run(operation: Operation): Promise<Reply> {
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const reply = this.#take(await this.#options.store.run(this.#knowledge(this.#clock.now()), operation));
      if (reply.known) return reply;
      await this.#tell(new Set(reply.sends.map(([id]) => id)));
    }
    throw new Error('the shared budget changes too fast');
  }

  /** The store has another state than was known: it is told what is missing there. */
  async #tell(held: ReadonlySet<string>): Promise<void> {
    const { ledger, gate, store } = this.#options;
    const now = this.#clock.now();
    const fresh = this.#progress.length === 0 && ledger.empty;
    const operation: Operation = {
      op: 'tell',
      sends: ledger.missingIn(held, now),
      closedMs: gate.closedMs(),
      shares: this.shares,
      fresh,
    };
    this.#take(await store.run(this.#knowledge(now), operation));
  }

  #take(reply: Reply): Reply {
    const now = this.#clock.now();
    this.heardAt = now;
    const { ledger, gate, windows } = this.#options;
    // No send lies in the future: it would count until then.
    for (const [id, agoMs] of reply.sends) ledger.note(id, now - Math.max(0, agoMs));
    gate.close(reply.closedMs, 'replica');
    this.#storeClosedUntil = now + Math.min(reply.closedMs, gate.longestClosingMs);
    this.#version = reply.version;
    this.#cursor = reply.cursor;
    this.#windows = undefined;
    if (reply.version === undefined) return reply;
    this.#progress = windows.map(({ window }, index) => {
      const { credit = 0, accruedAgo = 0, share = 1, recoversIn = Infinity } = reply.windows[index] ?? {};
      const progress = { credit, accruedTo: now - accruedAgo, share, recoversAt: now + recoversIn };
      return boundProgress(progress, window, now, gate.closedUntil);
    });
    return reply;
  }

  #knowledge(now: number): Knowledge {
    const counts = this.#last !== undefined && this.#options.ledger.counts(this.#last, now + LEAVING_MS);
    return { version: this.#version, cursor: this.#cursor, last: counts ? this.#last : undefined };
  }

  #nextId(): string {
    return `${this.#options.store.replica}:${this.#sent}`;
  }
}
