import { Cluster } from 'ioredis';
import { type Clock, systemClock } from '../clock.ts';
import { COMMAND_TIMED_OUT } from './redis-options.ts';
import type { RedisClient } from './redis-topology.ts';

/** Consecutive timeouts that mean a hanging Redis. A single one may be due to a blocked event loop here. */
const TIMEOUTS_IN_A_ROW = 3;
/**
 * Inaccuracy of timers, in milliseconds. Timeouts less than a command timeout apart (within this inaccuracy) are of
 * commands that were in flight together, and count once.
 */
const TIMER_INACCURACY_MS = 10;

/**
 * Disconnects from a Redis that does not answer, and from a cluster that reports itself down, so that commands fail at
 * once until the connection is restored. In a cluster that does not answer, each node has a socket timeout of its own
 * instead (redis-cluster.ts), and the other nodes go on serving.
 */
export class HangDetector {
  #timeouts = 0;
  #countedAt = -Infinity;

  /** @param commandTimeoutMs current command timeout */
  constructor(
    private readonly redis: RedisClient,
    private readonly commandTimeoutMs: () => number,
    private readonly clock: Clock = systemClock,
  ) {}

  answered(): void {
    this.#timeouts = 0;
  }

  /** @returns whether Redis is unavailable; otherwise a single reply was late */
  failed(error: unknown): boolean {
    const message = error instanceof Error ? error.message : '';
    const timedOut = message === COMMAND_TIMED_OUT;
    const counts = this.redis instanceof Cluster ? message.startsWith('CLUSTERDOWN') : timedOut;
    if (counts) this.#count(this.clock.now());
    else this.#timeouts = 0;
    const hangs = this.#timeouts >= TIMEOUTS_IN_A_ROW;
    if (hangs) this.#disconnect(error);
    return hangs || !timedOut;
  }

  #disconnect(error: unknown): void {
    this.#timeouts = 0;
    // Commands of the closed connection may still fail afterwards.
    if (this.redis.status !== 'ready') return;
    this.redis.emit('error', error);
    this.redis.disconnect(true);
  }

  #count(now: number): void {
    if (now - this.#countedAt < this.commandTimeoutMs() - TIMER_INACCURACY_MS) return;
    this.#countedAt = now;
    this.#timeouts++;
  }
}
