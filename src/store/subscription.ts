import type { Clock } from '../clock.ts';
import type { ConnectionLog } from './connection-log.ts';
import { redisReason } from './redis-reason.ts';

/** Interval of checks whether messages arrive, in milliseconds. */
const TICK_MS = 500;
/** Ticks without any message, heartbeats included, after which the subscription is lost. */
const MAX_QUIET_TICKS = 3;

/** A message without content, to test delivery. Older versions of the gateway ignore it. */
export const HEARTBEAT = 'heartbeat';

export interface SubscriptionOptions {
  readonly clock: Clock;
  readonly log: ConnectionLog;
  /** Whether the client is connected; connection-log.ts logs when it is not. */
  readonly isStoreReady: () => boolean;
  /** Publishes `HEARTBEAT` on the channel. */
  readonly sendHeartbeat: () => Promise<unknown>;
  /** Replaces a connection that is open but delivers nothing, and calls `connectionLost`. */
  readonly reconnect: (cause: unknown) => void;
  /** The subscription was lost (`wasUp`), or a further attempt to subscribe has failed. */
  readonly onLost: (wasUp: boolean) => void;
}

/**
 * Tracks whether this process receives the messages of a channel. It does from a confirmed SUBSCRIBE until the
 * connection closes, SUBSCRIBE is refused, or the channel is silent for two seconds. A process that has received
 * nothing for a tick publishes a heartbeat, so that a working channel is never silent.
 */
export class Subscription {
  readonly #options: SubscriptionOptions;
  #since = Infinity;
  #quietTicks = 0;
  #cause: unknown;
  /** Whether SUBSCRIBE was ever confirmed: before that there was nothing to miss. */
  #hasBegun = false;
  /** Messages may have been missed since the last tick, and whether that was logged. */
  #hadGap = true;
  #isLogged = false;
  #wasStoreReady = false;
  #ticksDown = 0;
  #cancelTick: () => void;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
    this.#cancelTick = this.#scheduleTick();
  }

  /** Since when no message has been missed, on the clock; Infinity while some may be. */
  get since(): number {
    return this.#since;
  }

  get isUp(): boolean {
    return this.#since < Infinity;
  }

  /** SUBSCRIBE was confirmed. `connectionLost` must follow when this connection closes. */
  subscribed(): void {
    this.#quietTicks = 0;
    if (!this.#hasBegun) this.#hadGap = false;
    this.#hasBegun = true;
    this.#since = this.#options.clock.now();
  }

  messageReceived(): void {
    this.#quietTicks = 0;
  }

  /** The connection closed, or could not be made. */
  connectionLost(cause: unknown): void {
    const wasUp = this.isUp;
    this.#cause = cause;
    this.#hadGap = true;
    this.#since = Infinity;
    this.#options.onLost(wasUp);
  }

  end(): void {
    this.#cancelTick();
  }

  #scheduleTick(): () => void {
    return this.#options.clock.after(TICK_MS, () => {
      this.#checkArrivals();
      this.#logChanges();
      this.#cancelTick = this.#scheduleTick();
    });
  }

  /** Counts ticks, not time: a process that was blocked reads its messages before the next tick. */
  #checkArrivals(): void {
    if (!this.isUp) return;
    if (this.#quietTicks >= MAX_QUIET_TICKS) {
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

  /** Logs a loss only while the client is connected: otherwise connection-log.ts logs the lost connection. */
  #logChanges(): void {
    const isStoreReady = this.#options.isStoreReady();
    const stayedConnected = isStoreReady && this.#wasStoreReady;
    this.#wasStoreReady = isStoreReady;
    this.#ticksDown = this.isUp ? 0 : this.#ticksDown + 1;
    // A closed connection has no cause; the next attempt may give one.
    const hasReason = this.isUp || this.#cause !== undefined || this.#ticksDown > 1;
    if (this.#hadGap && stayedConnected && hasReason && !this.#isLogged) {
      const reason = redisReason(this.#cause ?? new Error('Connection closed'));
      this.#options.log.warn({ reason }, 'Redis pub/sub lost, checking unfinished jobs in Redis');
      this.#isLogged = true;
    }
    if (!this.isUp) return;
    if (this.#isLogged) this.#options.log.info('Redis pub/sub restored');
    this.#isLogged = false;
    this.#hadGap = false;
  }
}
