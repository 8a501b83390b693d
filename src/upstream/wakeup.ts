import { type Clock, systemClock } from '../clock.ts';

/** Wakes one that waits for something to come. */
export class Wakeup {
  #wake = (): void => undefined;

  notify(): void {
    this.#wake();
  }

  /** Resolves when it rings, or after so many milliseconds. It keeps no process from ending. */
  async wait(withinMs: number, clock: Clock = systemClock): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const cancel = clock.after(withinMs, () => {
      resolve(undefined);
    });
    this.#wake = () => {
      resolve(undefined);
    };
    await promise;
    cancel();
  }
}
