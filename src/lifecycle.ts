export type Phase = 'starting' | 'serving' | 'draining';

/** Where the process stands between its start and its end. */
export class Lifecycle {
  #phase: Phase = 'starting';

  get phase(): Phase {
    return this.#phase;
  }

  serve(): void {
    // Told to end while it was starting, it never serves.
    if (this.#phase === 'starting') this.#phase = 'serving';
  }

  drain(): void {
    this.#phase = 'draining';
  }
}
