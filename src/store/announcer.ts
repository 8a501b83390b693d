import type { Redis } from 'ioredis';
import { type Clock, sleep } from '../clock.ts';
import { encodeMessage, type SharedReadMessage } from './replica-messages.ts';

/** Ends of jobs that are kept until they can be published; beyond that the oldest is forgotten. */
const MOST_KEPT = 1000;
/** Pause before a message is published again, in milliseconds; doubled each time, up to the longest. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;
/** A Redis that has not taken a message for so long is not asked any more, in milliseconds. */
const GIVEN_UP_AFTER_MS = 60_000;

export interface AnnouncerOptions {
  readonly redis: Pick<Redis, 'publish'>;
  /** Where all replicas listen. */
  readonly channel: string;
  readonly onFault: (error: unknown) => void;
  readonly clock: Clock;
}

/**
 * Publishes messages to the other replicas. The end of a job that cannot be published is published again: the others, which hear all else,
 * would go on showing an earlier state.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #unpublished = new Map<string, string>();
  #isRetrying = false;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  /** Never rejects. Resolves when the message was published, or cannot be for now: no read waits for a Redis that is away. */
  async announce(jobId: string, said: SharedReadMessage): Promise<void> {
    const message = encodeMessage(jobId, said);
    try {
      await this.#publish(message);
    } catch (error) {
      this.#options.onFault(error);
      if (said.kind === 'stored' && said.finished) this.#keep(jobId, message);
    }
  }

  #keep(jobId: string, message: string): void {
    const [oldest] = this.#unpublished.keys();
    if (this.#unpublished.size >= MOST_KEPT && oldest !== undefined) this.#unpublished.delete(oldest);
    this.#unpublished.set(jobId, message);
    if (!this.#isRetrying) void this.#retry();
  }

  /** Never rejects. */
  async #retry(): Promise<void> {
    this.#isRetrying = true;
    const { clock } = this.#options;
    let [pauseMs, publishedAt] = [FIRST_PAUSE_MS, clock.now()];
    while (this.#unpublished.size > 0 && clock.now() - publishedAt < GIVEN_UP_AFTER_MS) {
      await sleep(clock, pauseMs);
      pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
      for (const [jobId, message] of this.#unpublished) {
        const isPublished = await this.#publish(message).then(
          () => true,
          () => false,
        );
        if (!isPublished) break;
        publishedAt = clock.now();
        this.#unpublished.delete(jobId);
      }
    }
    this.#unpublished.clear();
    this.#isRetrying = false;
  }

  #publish(message: string): Promise<unknown> {
    return this.#options.redis.publish(this.#options.channel, message);
  }
}
