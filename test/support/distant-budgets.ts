import type { Redis } from 'ioredis';
import type { Permit } from '../../src/budget/budget.ts';
import { budgetScript } from '../../src/budget/budget-script.ts';
import { BudgetStore } from '../../src/budget/budget-store.ts';
import { Gate } from '../../src/budget/gate.ts';
import { toleratedLatenessMs } from '../../src/budget/granted-permit.ts';
import { Ledger } from '../../src/budget/ledger.ts';
import { SharedBudget } from '../../src/budget/shared-budget.ts';
import { type NamedLimit, spreadWindows } from '../../src/budget/window.ts';
import { PermitQueue } from '../../src/upstream/permit-queue.ts';
import type { Distance } from './delaying-proxy.ts';
import { settled, VirtualClock } from './virtual-clock.ts';

const MARGIN_MS = 40;
/** How long a call holds its slot, in milliseconds. */
const CALL_MS = 15;
const CLOCK = "local time = call('TIME')";
/** The script on the test's clock instead of Redis' own. */
const script = budgetScript.replace(
  CLOCK,
  'local time = { 1700000000 + math.floor(ARGV[2] / 1000), (ARGV[2] % 1000) * 1000 }',
);

export interface DistantOptions extends Distance {
  readonly limits: readonly NamedLimit[];
  readonly replicas?: number;
  readonly slots?: number;
  /** How late the timer of the nth send fires, in milliseconds. */
  readonly lateMs?: (send: number) => number;
  /** How long the nth send takes to arrive upstream, in milliseconds. */
  readonly arriveMs?: (send: number) => number;
}

/**
 * Replicas that always have calls to send, with the real script on a real Redis, in virtual time: the results do not
 * depend on the load of the machine.
 */
export class DistantBudgets {
  readonly clock = new VirtualClock();
  readonly budgets: SharedBudget[] = [];
  /** Arrival time of each call upstream. */
  readonly arrived: number[] = [];
  #sent = 0;
  readonly #pending = new Set<Promise<unknown>>();
  #random = 1;

  constructor(
    private readonly redis: Redis,
    private readonly options: DistantOptions,
  ) {
    const { replicas = 3, slots = 10 } = options;
    for (let replica = 0; replica < replicas; replica++) this.#start(`replica-${replica}`, slots);
  }

  async run(forMs: number): Promise<void> {
    for (const end = this.clock.now() + forMs; this.clock.now() < end;) {
      await this.clock.advance(1);
      while (this.#pending.size > 0) await Promise.all(this.#pending);
      await settled();
    }
  }

  #start(replica: string, slots: number): void {
    const windows = spreadWindows(this.options.limits, MARGIN_MS);
    const client = {
      defineCommand: () => undefined,
      del: () => Promise.resolve(0),
      jobsBudget: this.#distantScript(),
    };
    const store = new BudgetStore(client, {
      keyPrefix: 'p:',
      windows,
      replica,
      longestClosingMs: 3_600_000,
    });
    const budget = new SharedBudget({
      store,
      windows,
      ledger: new Ledger(windows.map(({ limit, window: { spanMs } }) => ({ limit, spanMs }))),
      gate: new Gate({ clock: this.clock }),
      latenessMs: toleratedLatenessMs(MARGIN_MS),
      clock: this.clock,
    });
    this.budgets.push(budget);
    let free = slots;
    const queue = new PermitQueue(budget, () => ({ slots: free, waiting: 1000 }), this.clock);
    void this.#send(queue, (change) => (free += change));
  }

  /** Acquires permits one at a time, like the throttle. */
  async #send(queue: PermitQueue, use: (slots: number) => number): Promise<void> {
    for (;;) {
      while (use(0) === 0) await this.#sleep(1);
      const answer = await queue.next();
      if (typeof answer === 'number') await this.#sleep(Math.max(1, answer));
      else this.#call(answer, use);
    }
  }

  #call(permit: Permit, use: (slots: number) => number): void {
    use(-1);
    const send = this.#sent++;
    const { lateMs, arriveMs } = this.options;
    const sentMs = lateMs?.(send) ?? 0;
    const arrivedMs = sentMs + (arriveMs?.(send) ?? 0);
    this.clock.after(sentMs, () => {
      permit.sent();
    });
    this.clock.after(arrivedMs, () => {
      this.arrived.push(this.clock.now());
    });
    this.clock.after(arrivedMs + CALL_MS, () => {
      permit.answered();
      use(1);
    });
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.after(ms, resolve));
  }

  /** Runs the script after the latency of the network, in order, as on one connection. */
  #distantScript() {
    let [there, back] = [0, 0];
    return async (...keysAndRequest: string[]): Promise<string> => {
      const now = this.clock.now();
      there = Math.max(there, now + this.#oneWayMs());
      await this.#sleep(there - now);
      const running = this.redis.eval(script, keysAndRequest.length - 1, ...keysAndRequest, this.clock.now());
      this.#pending.add(running);
      const reply = (await running.finally(() => this.#pending.delete(running))) as string;
      back = Math.max(back, this.clock.now() + this.#oneWayMs());
      await this.#sleep(back - this.clock.now());
      return reply;
    };
  }

  #oneWayMs(): number {
    const { roundTripMs, jitterMs = 0 } = this.options;
    // A linear congruential generator: the same sequence in each run.
    this.#random = (this.#random * 48_271) % 2_147_483_647;
    return (roundTripMs + ((2 * this.#random) / 2_147_483_647 - 1) * jitterMs) / 2;
  }
}
