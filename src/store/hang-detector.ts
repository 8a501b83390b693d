import { Cluster } from 'ioredis';
import { type Clock, systemClock } from '../clock.ts';
import { COMMAND_TIMED_OUT } from './redis-options.ts';
import type { RedisClient } from './redis-topology.ts';

/** One timeout may be our own event loop that was blocked; so many in a row are a Redis that hangs. */
const TIMEOUTS_IN_A_ROW = 3;
/**
 * A command that is sent after a timeout has one of its own no sooner than a command's time later, or so much less by
 * the timers' grain. What times out before was sent before, and tells of the same moment. In milliseconds.
 */
const TIMER_GRAIN_MS = 10;

/**
 * Takes a Redis that answers nothing for one that is away, and a cluster that says it is down: from then on commands fail at once,
 * until it is back. Of a cluster that answers nothing, each node is given up by itself: the others serve on.
 */
export class HangDetector {
  #timeouts = 0;
  #countedAt = -Infinity;

  /** @param commandTimeoutMs how long a command that is sent now is waited for */
  constructor(
    private readonly redis: RedisClient,
    private readonly commandTimeoutMs: () => number,
    private readonly clock: Clock = systemClock,
  ) {}

  answered(): void {
    this.#timeouts = 0;
  }

  /** @returns whether Redis is away: otherwise one answer did not come in time */
  failed(error: unknown): boolean {
    const message = error instanceof Error ? error.message : '';
    const timedOut = message === COMMAND_TIMED_OUT;
    const counts = this.redis instanceof Cluster ? message.startsWith('CLUSTERDOWN') : timedOut;
    if (counts) this.#count(this.clock.now());
    else this.#timeouts = 0;
    const hangs = this.#timeouts >= TIMEOUTS_IN_A_ROW;
    if (hangs) this.#goAway(error);
    return hangs || !timedOut;
  }

  #goAway(error: unknown): void {
    this.#timeouts = 0;
    // What was sent before tells of the same fault after the connection has been given up.
    if (this.redis.status !== 'ready') return;
    this.redis.emit('error', error);
    this.redis.disconnect(true);
  }

  #count(now: number): void {
    if (now - this.#countedAt < this.commandTimeoutMs() - TIMER_GRAIN_MS) return;
    this.#countedAt = now;
    this.#timeouts++;
  }
}
