import type { IncomingMessage, ServerResponse } from 'node:http';

/** One HTTP answer. Without a body there is no content type either, unless one is given. */
export interface Answer {
  readonly status: number;
  readonly body?: Buffer | string;
  /** Default: `application/json`. */
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What became of a request: the status that was sent, or what was done instead of a whole answer. */
export type Outcome = number | 'hang' | 'hang-body' | 'reset' | 'cut-off' | 'refuse';

/** What the fake upstream does with a request. */
export interface Reaction {
  readonly outcome: Outcome;
  /** Milliseconds to wait first, on top of the latency set. */
  readonly delayMs?: number;
  /** Waits for the faults to be cleared before that. */
  readonly held?: boolean;
  readonly send: (request: IncomingMessage, response: ServerResponse) => void;
}

/** Answers as an ordinary server does. */
export function plain(answer: Answer): Reaction {
  return { outcome: answer.status, send: (_request, response) => sendAnswer(response, answer) };
}

/** Never answers. The connection stays open until the client or `stop()` ends it. */
export const HANG: Reaction = { outcome: 'hang', send: () => undefined };

/** A TCP reset before any byte of an answer. */
export const RESET: Reaction = { outcome: 'reset', send: (request) => request.socket.resetAndDestroy() };

/** The connection is closed in an orderly way before any byte of an answer. */
export const REFUSE: Reaction = { outcome: 'refuse', send: (request) => request.socket.destroy() };

export function sendAnswer(response: ServerResponse, answer: Answer): void {
  const bytes = writeHead(response, answer);
  response.end(bytes);
}

/** The whole head, with the length of the whole body, but only half of the body. */
export function sendHalf(response: ServerResponse, answer: Answer, then: () => void): void {
  const bytes = writeHead(response, answer);
  response.write(bytes.subarray(0, bytes.length / 2), then);
}

/** Runs `then` after `delayMs`; not at all when the client is gone, or the fake upstream has stopped, before. */
export function after(response: ServerResponse, delayMs: number, then: () => void): void {
  if (delayMs <= 0) return then();
  const timer = setTimeout(then, delayMs);
  response.once('close', () => clearTimeout(timer));
}

function writeHead(response: ServerResponse, answer: Answer): Buffer {
  const bytes = Buffer.from(answer.body ?? '');
  const contentType = answer.contentType ?? (answer.body === undefined ? undefined : 'application/json');
  if (contentType !== undefined) response.setHeader('content-type', contentType);
  response.writeHead(answer.status, { 'content-length': bytes.length, ...answer.headers });
  return bytes;
}
