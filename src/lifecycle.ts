export type Phase = 'starting' | 'serving' | 'draining';

/** The phase of the process. */
export class Lifecycle {
  #phase: Phase = 'starting';

  get phase(): Phase {
    return this.#phase;
  }

  serve(): void {
    // A signal may have come during the start.
    if (this.#phase === 'starting') this.#phase = 'serving';
  }

  drain(): void {
    this.#phase = 'draining';
  }
}
