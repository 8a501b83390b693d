/** Time as the program's logic sees it: injected, so that tests can run the logic in virtual time. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /**
   * Calls back once, after so many milliseconds. A pending callback does not keep the process alive.
   * @returns cancels the callback
   */
  after(ms: number, callback: () => void): () => void;
}

/** The time of this process: `performance.now()` and its timers. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms).unref();
    return () => {
      clearTimeout(timer);
    };
  },
};

/** Resolves after so many milliseconds. @throws the signal's reason as soon as the signal aborts */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener('abort', aborted);
      resolve();
    });
    if (signal?.aborted) aborted();
    else signal?.addEventListener('abort', aborted, { once: true });
  });
}
