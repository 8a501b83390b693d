import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { GatewayError } from '../errors/gateway-error.ts';

/** Each is a timer and some kilobytes: enough for the operators of a gateway and their forgotten tabs. */
const MOST_STREAMS = 20;
const STATE_EVERY_MS = 1000;
/** How often it is asked whether a reader still may see this. */
const CHECK_EVERY_MS = 2000;
/** A reader that has taken nothing for so long is gone, and nobody has told us. */
const LONGEST_STALL_MS = 30_000;
/** How long an ended stream may take to be read to its end. */
const LONGEST_END_MS = 1000;
const RETRY_AFTER_MS = 10_000;

/**
 * Streams of the gateway's state, each a server-sent event at once and then every second. The state is read when it can be
 * written: a slow reader gets the latest, not a backlog.
 */
export class StateStreams {
  readonly #ending = new AbortController();
  #open = 0;

  /** @param read the state as JSON, on one line */
  constructor(private readonly read: () => Promise<string>) {}

  /** @throws {GatewayError} `ServiceUnavailable` when there are too many, or no more are to be opened */
  admit(): void {
    if (this.#ending.signal.aborted || this.#open >= MOST_STREAMS) {
      throw GatewayError.of('ServiceUnavailable', { retryAfterMs: RETRY_AFTER_MS });
    }
  }

  /**
   * Writes states until the reader goes, may not see them any more, or the gateway ends. Never rejects.
   * @param response its head has been written
   * @param mayRead whether the reader may still see this; never rejects
   */
  async stream(response: ServerResponse, mayRead: () => Promise<boolean>): Promise<void> {
    this.#open++;
    const gone = new AbortController();
    response.once('close', () => {
      gone.abort();
    });
    const check = setInterval(() => {
      void mayRead().then((may) => {
        if (!may) gone.abort();
      });
    }, CHECK_EVERY_MS);
    await this.#write(response, AbortSignal.any([gone.signal, this.#ending.signal])).catch(() => undefined);
    clearInterval(check);
    this.#open--;
    end(response);
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
      if (!response.write(`event: state\ndata: ${state}\n\n`)) await drained(response, signal);
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

/** Who does not read would hold up the server's end. */
function end(response: ServerResponse): void {
  const timer = setTimeout(() => response.destroy(), LONGEST_END_MS);
  response.once('close', () => {
    clearTimeout(timer);
  });
  response.end(() => {
    clearTimeout(timer);
  });
}
