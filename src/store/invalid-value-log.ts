import { type Clock, systemClock } from '../clock.ts';
import type { ConnectionLog } from './connection-log.ts';

/** Kinds of values in Redis that can be invalid: written by no version of the gateway. Also metric labels. */
export type InvalidValue = 'copy' | 'lease' | 'notice';

/** Shortest time between two log lines of one kind, in milliseconds. */
const LOG_INTERVAL_MS = 3_600_000;

/** Logs invalid values, which are replaced wherever they are found: one line per kind and hour. */
export class InvalidValueLog {
  readonly #loggedAt = new Map<InvalidValue, number>();

  constructor(
    private readonly log: Pick<ConnectionLog, 'warn'>,
    private readonly clock: Clock = systemClock,
  ) {}

  report(what: InvalidValue): void {
    const now = this.clock.now();
    if (now - (this.#loggedAt.get(what) ?? -Infinity) < LOG_INTERVAL_MS) return;
    this.#loggedAt.set(what, now);
    this.log.warn({ what }, 'invalid value in Redis, replacing it');
  }
}
