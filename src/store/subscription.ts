import type { Clock } from '../clock.ts';
import type { ConnectionLog } from './connection-log.ts';
import { redisReason } from './redis-reason.ts';

/** How often it is checked whether messages arrive, in milliseconds. */
const TICK_MS = 500;
/** So many ticks without any message, heartbeats included, and the subscription is lost. */
const QUIET_TICKS = 3;

/** What is published for the sake of arriving alone. Versions that do not know it ignore it. */
export const HEARTBEAT = 'heartbeat';

export interface SubscriptionOptions {
  readonly clock: Clock;
  readonly log: ConnectionLog;
  /** Whether Redis itself answers: its absence is logged elsewhere. */
  readonly isStoreReady: () => boolean;
  /** Publishes `HEARTBEAT` on the channel. */
  readonly sendHeartbeat: () => Promise<unknown>;
  /** Makes the connection anew, which is open but lets nothing through; `lost` is told. */
  readonly reconnect: (cause: unknown) => void;
  /** Called when messages may be missed from now on, and for each further attempt to subscribe that fails. @param wasUp the first is meant */
  readonly onLost: (wasUp: boolean) => void;
}

/**
 * Whether this process receives what is published on a channel. A confirmed SUBSCRIBE begins it; a closed connection or a refusal ends it at
 * once, silence within two seconds. Whoever has heard nothing for a tick publishes a heartbeat, so that a channel is never silent.
 */
export class Subscription {
  readonly #options: SubscriptionOptions;
  #since = Infinity;
  #quietTicks = 0;
  #cause: unknown;
  /** Before its first confirmation nothing was there to miss. */
  #hasBegun = false;
  /** Messages may have been missed since the last tick; whether that has been logged. */
  #hadGap = true;
  #isLogged = false;
  #wasStoreReady = false;
  #ticksDown = 0;
  #cancelTick: () => void;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
    this.#cancelTick = this.#tickLater();
  }

  /** Since when no message has been missed, in milliseconds of the clock; Infinity while some may be. */
  get since(): number {
    return this.#since;
  }

  get isUp(): boolean {
    return this.#since < Infinity;
  }

  /** SUBSCRIBE has been confirmed, on a connection of which `lost` will tell. */
  confirmed(): void {
    this.#quietTicks = 0;
    if (!this.#hasBegun) this.#hadGap = false;
    this.#hasBegun = true;
    this.#since = this.#options.clock.now();
  }

  /** Some message has arrived. */
  heard(): void {
    this.#quietTicks = 0;
  }

  /** The connection is closed, or has not come about. */
  lost(cause: unknown): void {
    const wasUp = this.isUp;
    this.#cause = cause;
    this.#hadGap = true;
    this.#since = Infinity;
    this.#options.onLost(wasUp);
  }

  end(): void {
    this.#cancelTick();
  }

  #tickLater(): () => void {
    return this.#options.clock.after(TICK_MS, () => {
      this.#checkArrivals();
      this.#logChanges();
      this.#cancelTick = this.#tickLater();
    });
  }

  /** Counted in ticks, not in time: a process that was blocked for long has had one, and reads its messages after it. */
  #checkArrivals(): void {
    if (!this.isUp) return;
    if (this.#quietTicks >= QUIET_TICKS) {
      this.#options.reconnect(this.#cause ?? new Error('No message arrives'));
      return;
    }
    if (this.#quietTicks > 0) this.#sendHeartbeat();
    this.#quietTicks++;
  }

  #sendHeartbeat(): void {
    this.#cause = undefined;
    this.#options.sendHeartbeat().catch((error: unknown) => {
      this.#cause = error;
    });
  }

  /** Where Redis itself has gone, its own lines tell of it: one about messages is due when it was there all the while. */
  #logChanges(): void {
    const isStoreReady = this.#options.isStoreReady();
    const isOwnFault = isStoreReady && this.#wasStoreReady;
    this.#wasStoreReady = isStoreReady;
    this.#ticksDown = this.isUp ? 0 : this.#ticksDown + 1;
    // A connection that was just closed does not say why: the next attempt may.
    const isExplained = this.isUp || this.#cause !== undefined || this.#ticksDown > 1;
    if (this.#hadGap && isOwnFault && isExplained && !this.#isLogged) {
      const reason = redisReason(this.#cause ?? new Error('Connection closed'));
      this.#options.log.warn({ reason }, 'redis pub/sub is away: unfinished jobs are looked up in Redis');
      this.#isLogged = true;
    }
    if (!this.isUp) return;
    if (this.#isLogged) this.#options.log.info('redis pub/sub is back');
    this.#isLogged = false;
    this.#hadGap = false;
  }
}
