import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { GatewayError } from '../errors/gateway-error.ts';
import { endEventStream, serverSentEvent } from '../http/event-stream.ts';

/** Each is a timer and some kilobytes: enough for the operators of a gateway and their forgotten tabs. */
const MOST_STREAMS = 20;
const STATE_EVERY_MS = 1000;
/** How often the permission of a reader is checked. */
const CHECK_EVERY_MS = 2000;
/** A reader that has taken nothing for so long is taken for gone. */
const LONGEST_STALL_MS = 30_000;
const RETRY_AFTER_MS = 10_000;

/**
 * Streams of the gateway's state: an event at once and then every second. The state is read when it can be written, so
 * that a slow reader gets the latest one and no backlog.
 */
export class StateStreams {
  readonly #ending = new AbortController();
  #open = 0;

  /** @param read returns the state as JSON, on one line */
  constructor(private readonly read: () => Promise<string>) {}

  /** @throws {GatewayError} `ServiceUnavailable` when there are too many, or the gateway ends */
  admit(): void {
    if (this.#ending.signal.aborted || this.#open >= MOST_STREAMS) {
      throw GatewayError.of('ServiceUnavailable', { retryAfterMs: RETRY_AFTER_MS });
    }
  }

  /**
   * Writes states until the reader leaves or loses its permission, or the gateway ends. Never rejects.
   * @param response its head has been written
   * @param mayRead whether the reader still has permission; never rejects
   */
  async stream(response: ServerResponse, mayRead: () => Promise<boolean>): Promise<void> {
    this.#open++;
    const left = new AbortController();
    response.once('close', () => {
      left.abort();
    });
    const check = setInterval(() => {
      void mayRead().then((may) => {
        if (!may) left.abort();
      });
    }, CHECK_EVERY_MS);
    await this.#write(response, AbortSignal.any([left.signal, this.#ending.signal])).catch(() => undefined);
    clearInterval(check);
    this.#open--;
    endEventStream(response);
  }

  /** Ends all streams, so that the server can close. */
  end(): void {
    this.#ending.abort();
  }

  /** Rejects when the stream is to end. */
  async #write(response: ServerResponse, signal: AbortSignal): Promise<never> {
    for (;;) {
      const state = await this.read();
      signal.throwIfAborted();
      if (!response.write(serverSentEvent('state', state))) await drained(response, signal);
      await delay(STATE_EVERY_MS, undefined, { signal });
    }
  }
}

/** Resolves when the reader has taken what was written; rejects when it takes nothing for long. */
async function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  const stalled = new AbortController();
  const timer = setTimeout(() => {
    stalled.abort();
  }, LONGEST_STALL_MS);
  try {
    await once(response, 'drain', { signal: AbortSignal.any([signal, stalled.signal]) });
  } finally {
    clearTimeout(timer);
  }
}
