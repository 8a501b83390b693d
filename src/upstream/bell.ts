/** Wakes one that waits for something to come. */
export class Bell {
  #wake = (): void => undefined;

  ring(): void {
    this.#wake();
  }

  /** Resolves when it rings, or after so many milliseconds. It keeps no process from ending. */
  async rung(withinMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(resolve, withinMs, undefined).unref();
    this.#wake = () => {
      resolve(undefined);
    };
    await promise;
    clearTimeout(timer);
  }
}
