import type { Redis } from 'ioredis';
import { type Clock, sleep } from '../clock.ts';
import { encodeMessage, type SharedReadMessage } from './replica-messages.ts';

/** Most messages kept until they can be published; beyond that the oldest is dropped. */
const MAX_KEPT = 1000;
/** First and longest pause before a message is published again, in milliseconds. It doubles each time. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;
/** Time without a successful publication after which the messages are dropped, in milliseconds. */
const DROP_AFTER_MS = 60_000;
/** Longest time that the read of a finished job waits for its message to be published, in milliseconds. */
const LONGEST_WAIT_MS = 500;

export interface AnnouncerOptions {
  readonly redis: Pick<Redis, 'publish'>;
  /** Channel of all replicas. */
  readonly channel: string;
  readonly onFault: (error: unknown) => void;
  readonly clock: Clock;
}

/**
 * Publishes messages to the other replicas. The message that a job has finished is published again until that succeeds:
 * the others, which miss no other message, would continue to show an earlier state.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #unpublished = new Map<string, string>();
  #retries: Promise<void> | undefined;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  /** Never rejects. Resolves when the message was published, or does not have to be, or cannot be for now. */
  async announce(jobId: string, message: SharedReadMessage): Promise<void> {
    const text = encodeMessage(jobId, message);
    try {
      await this.#publish(text);
    } catch (error) {
      this.#options.onFault(error);
      if (message.kind === 'stored' && message.finished) await this.#keep(jobId, text);
    }
  }

  async #keep(jobId: string, text: string): Promise<void> {
    const [oldest] = this.#unpublished.keys();
    if (this.#unpublished.size >= MAX_KEPT && oldest !== undefined) this.#unpublished.delete(oldest);
    this.#unpublished.set(jobId, text);
    this.#retries ??= this.#retry().finally(() => {
      this.#retries = undefined;
    });
    await Promise.race([this.#retries, sleep(this.#options.clock, LONGEST_WAIT_MS)]);
  }

  async #retry(): Promise<void> {
    const { clock } = this.#options;
    let [pauseMs, publishedAt] = [FIRST_PAUSE_MS, clock.now()];
    while (this.#unpublished.size > 0 && clock.now() - publishedAt < DROP_AFTER_MS) {
      await sleep(clock, pauseMs);
      pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
      for (const [jobId, text] of this.#unpublished) {
        const isPublished = await this.#publish(text).then(
          () => true,
          () => false,
        );
        if (!isPublished) break;
        publishedAt = clock.now();
        this.#unpublished.delete(jobId);
      }
    }
    this.#unpublished.clear();
  }

  #publish(text: string): Promise<unknown> {
    return this.#options.redis.publish(this.#options.channel, text);
  }
}
