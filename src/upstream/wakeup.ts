import { type Clock, systemClock } from '../clock.ts';

/** Ends the latest wait before its time. */
export class Wakeup {
  #wake = (): void => undefined;

  notify(): void {
    this.#wake();
  }

  /** Resolves when notified, or after so many milliseconds. It keeps no process alive. */
  async wait(withinMs: number, clock: Clock = systemClock): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const wake = (): void => {
      resolve(undefined);
    };
    const cancel = withinMs < Infinity ? clock.after(withinMs, wake) : undefined;
    this.#wake = wake;
    await promise;
    cancel?.();
  }
}
