import Bottleneck from 'bottleneck';

/** The right to have one call under way. */
export class Slot {
  readonly #expiry = new AbortController();

  /** Aborts when the slot has been taken away because it was held for too long. */
  get expired(): AbortSignal {
    return this.#expiry.signal;
  }

  expire(): void {
    this.#expiry.abort();
  }
}

/**
 * The slots for calls. Bottleneck decides how many there are and for how long each is held: a slot is one of its jobs.
 * A job takes some 5 ms to start, so slots are requested before there is a permit, and stand ready.
 */
export class Slots {
  readonly #bottleneck: Bottleneck;
  /** Slots that run and have no call yet. */
  readonly #ready = new Set<Slot>();

  /**
   * @param concurrency most slots at a time
   * @param longestMs longest time that a slot is held, in milliseconds
   * @param use what a slot is held for; it must not reject
   * @param onFree told when a slot is free again, however it ended
   */
  constructor(
    private readonly concurrency: number,
    private readonly longestMs: number,
    private readonly use: (slot: Slot) => Promise<void>,
    private readonly onFree: () => void = () => undefined,
  ) {
    this.#bottleneck = new Bottleneck({ maxConcurrent: concurrency });
    // Bottleneck tells of an expiration before it gives the slot to the next job: the call has been cancelled by then.
    this.#bottleneck.on('failed', (_error, { args: [slot] }) => {
      this.#expire(slot as Slot);
    });
  }

  /**
   * Slots that wait for a call, or will when Bottleneck has started them. Permits are asked for these too: a burst
   * would wait for two round trips to the budget otherwise.
   */
  get available(): number {
    return Math.max(this.#ready.size, Math.min(this.#idle, this.concurrency - this.calling));
  }

  /** Slots with a call under way. */
  get calling(): number {
    return this.#bottleneck.counts().EXECUTING - this.#ready.size;
  }

  /**
   * Requests slots until so many have no call, started or not. More than could run at once are not worth their cost.
   */
  request(count: number): void {
    for (let missing = Math.min(count, this.concurrency) - this.#idle; missing > 0; missing--)
      this.#requestOne();
  }

  /** The slot has a call from now on. */
  take(slot: Slot): void {
    this.#ready.delete(slot);
  }

  /** Slots without a call, started or not. */
  get #idle(): number {
    const { RECEIVED, QUEUED, RUNNING } = this.#bottleneck.counts();
    return RECEIVED + QUEUED + RUNNING + this.#ready.size;
  }

  #requestOne(): void {
    const run = async (slot: Slot): Promise<void> => {
      this.#ready.add(slot);
      await this.use(slot);
      this.#ready.delete(slot);
    };
    // It rejects when the slot has expired, which the listener of `failed` has handled.
    const job = this.#bottleneck.schedule({ expiration: this.longestMs }, run, new Slot());
    void job.catch(() => undefined).then(this.onFree);
  }

  #expire(slot: Slot): void {
    this.#ready.delete(slot);
    slot.expire();
  }
}
