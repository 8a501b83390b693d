import { eventParser } from './event-parser.js';

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

/**
 * @typedef {object} FollowOptions
 * @property {string} key empty: none is sent
 * @property {AbortSignal} signal
 * @property {number} silenceMs a connection without a byte for so long is taken for dead
 * @property {(event: import('./event-parser.js').ServerEvent) => void} onEvent
 * @property {() => void} onOpen
 * @property {(reason: string, waitMs: number) => void} onBreak the stream has failed, and is requested again after
 * waitMs
 */

/** A response that is not a stream. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {number} retryAfterMs
   */
  constructor(status, message, retryAfterMs) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether a later request may succeed. */
  get isTemporary() {
    return this.status >= 500 || this.status === 429 || this.status === 408;
  }
}

/**
 * Follows an event stream until its `end`, and reconnects when it breaks.
 * @param {URL} url
 * @param {FollowOptions} options
 * @returns {Promise<void>} rejects with a permanent `Refusal`, or when the signal aborts
 */
export async function follow(url, options) {
  let waitMs = FIRST_WAIT_MS;
  for (;;) {
    try {
      const ended = await once(url, options, (retryMs) => (waitMs = retryMs));
      if (ended) return;
      options.onBreak('The connection was closed', waitMs);
    } catch (error) {
      options.signal.throwIfAborted();
      if (error instanceof Refusal && !error.isTemporary) throw error;
      if (error instanceof Refusal) waitMs = Math.max(waitMs, error.retryAfterMs);
      options.onBreak(error instanceof Refusal ? error.message : 'The gateway cannot be reached', waitMs);
    }
    await sleep(waitMs * (1 + Math.random() / 4), options.signal);
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
  }
}

/**
 * Reads one connection. Each event resets the wait before the next connection.
 * @param {URL} url
 * @param {FollowOptions} options
 * @param {(waitMs: number) => void} setWait
 * @returns {Promise<boolean>} whether the stream ended with `end`
 */
async function once(url, { key, signal, silenceMs, onEvent, onOpen }, setWait) {
  const silence = new AbortController();
  const startTimer = () => setTimeout(() => silence.abort(), silenceMs);
  let timer = startTimer();
  try {
    const headers = { accept: 'text/event-stream', ...(key && { authorization: `Bearer ${key}` }) };
    const response = await fetch(url, {
      headers,
      cache: 'no-store',
      signal: AbortSignal.any([signal, silence.signal]),
    });
    if (response.status === 204) return true;
    if (!response.ok || !response.body) throw await refusalOf(response);
    onOpen();
    let [ended, retryMs] = [false, FIRST_WAIT_MS];
    const take = eventParser(
      (event) => {
        setWait(retryMs);
        if (event.type === 'end') ended = true;
        else onEvent(event);
      },
      (ms) => setWait((retryMs = ms)),
    );
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(timer);
      timer = startTimer();
      take(part.value);
    }
    return ended;
  } finally {
    clearTimeout(timer);
  }
}

/** @param {Response} response */
async function refusalOf(response) {
  const body = await response.json().catch(() => undefined);
  const message = body?.error?.message ?? `The gateway answered ${response.status}`;
  return new Refusal(response.status, message, Number(response.headers.get('retry-after') ?? 0) * 1000);
}

/**
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
  });
}
