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

export interface AnnouncerOptions {
  readonly redis: Pick<Redis, 'publish'>;
  /** The channel of all replicas. */
  readonly channel: string;
  readonly onFault: (error: unknown) => void;
  readonly clock: Clock;
}

/**
 * Publishes messages to the other replicas. A finished job whose message could not be published is announced again later:
 * the others, which receive all other messages, would serve an earlier state.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #unpublished = new Map<string, string>();
  #isRetrying = false;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  /** Never rejects. Resolves when the message was published, or cannot be now: no read waits for an unavailable Redis. */
  async announce(jobId: string, message: SharedReadMessage): Promise<void> {
    const text = encodeMessage(jobId, message);
    try {
      await this.#publish(text);
    } catch (error) {
      this.#options.onFault(error);
      if (message.kind === 'stored' && message.finished) this.#keep(jobId, text);
    }
  }

  #keep(jobId: string, text: string): void {
    const [oldest] = this.#unpublished.keys();
    if (this.#unpublished.size >= MAX_KEPT && oldest !== undefined) this.#unpublished.delete(oldest);
    this.#unpublished.set(jobId, text);
    if (!this.#isRetrying) void this.#retry();
  }

  /** Never rejects. */
  async #retry(): Promise<void> {
    this.#isRetrying = true;
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
    this.#isRetrying = false;
  }

  #publish(text: string): Promise<unknown> {
    return this.#options.redis.publish(this.#options.channel, text);
  }
}
