import { type Clock, systemClock } from '../clock.ts';
import type { ConnectionLog } from './connection-log.ts';

/** What can be found under our names in Redis that no version of the gateway has put there. */
export type InvalidValue = 'copy' | 'lease' | 'notice';

/** A kind is logged again when it has not been logged for so long, in milliseconds. */
const LOG_AGAIN_MS = 3_600_000;

/** Values that cannot be ours are replaced wherever they are met: one line tells of each kind. */
export class InvalidValueLog {
  readonly #loggedAt = new Map<InvalidValue, number>();

  constructor(
    private readonly log: Pick<ConnectionLog, 'warn'>,
    private readonly clock: Clock = systemClock,
  ) {}

  found(what: InvalidValue): void {
    const now = this.clock.now();
    if (now - (this.#loggedAt.get(what) ?? -Infinity) < LOG_AGAIN_MS) return;
    this.#loggedAt.set(what, now);
    this.log.warn({ what }, 'redis holds a value that is not from a gateway: it is replaced');
  }
}
