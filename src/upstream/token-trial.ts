/** Pause before a token in doubt is tried again, in milliseconds; doubled with each refusal, up to the longest. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 30_000;

/** The pause after the nth refusal in a row, counted from 1, in milliseconds. */
export function refusalPauseMs(nth: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (nth - 1));
}

/** Tries a token that is in doubt: one call at a time, after growing pauses. */
export class TokenTrial {
  #refusals = 0;
  #startedAt = -Infinity;
  #nextAt = -Infinity;
  #ended: PromiseWithResolvers<undefined> | undefined;

  /** When the next call may try. */
  get nextAt(): number {
    return this.#nextAt;
  }

  get isUnderWay(): boolean {
    return this.#ended !== undefined;
  }

  /** Resolves when no call tries. */
  async whenEnded(): Promise<void> {
    await this.#ended?.promise;
  }

  begin(): void {
    this.#ended ??= Promise.withResolvers();
  }

  end(): void {
    this.#ended?.resolve(undefined);
    this.#ended = undefined;
  }

  /** A call was refused. Those that were sent before the pause began say nothing new. */
  refused(sentAt: number, now: number): void {
    if (sentAt < this.#startedAt) return;
    this.#startedAt = now;
    this.#nextAt = now + refusalPauseMs(++this.#refusals);
  }

  /** Nothing is in doubt. */
  reset(): void {
    this.end();
    this.#refusals = 0;
    this.#startedAt = -Infinity;
    this.#nextAt = -Infinity;
  }
}
