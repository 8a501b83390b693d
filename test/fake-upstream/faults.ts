import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable, pipeline } from 'node:stream';
import { gzipSync } from 'node:zlib';
import {
  UNAUTHORIZED,
  UNAUTHORIZED_UNWRAPPED,
  UNKNOWN_CLIENT,
  retryAfter,
  tooManyRequests,
} from './documented-errors.ts';
import { HANG, RESET, plain, sendAnswer, sendHalf } from './reactions.ts';
import type { Answer, Reaction } from './reactions.ts';

/** An answer made to measure: an object as body is sent as JSON; without a body the answer is empty. */
export interface StatusFault {
  readonly kind: 'status';
  readonly status: number;
  readonly body?: string | object;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: `application/json`. */
  readonly contentType?: string;
}

/** What goes wrong with a job request that has been admitted. The normal answer is that of the job, or 404. */
export type FaultSpec =
  /** `hangs`: head and half the body, then nothing. */
  | (StatusFault & { readonly hangs?: boolean })
  /** Accepts the request and never answers. */
  | { readonly kind: 'hang' }
  /** Head and half the body of the normal answer, then nothing. */
  | { readonly kind: 'hang-body' }
  /** The normal answer, as of the request's arrival, this many milliseconds late. */
  | { readonly kind: 'slow'; readonly ms: number }
  /** The normal answer, as of the request's arrival, when the faults are cleared. */
  | { readonly kind: 'hold' }
  /** A TCP reset before any byte. */
  | { readonly kind: 'reset' }
  /** Head and half the body of the normal answer, then the connection is closed. */
  | { readonly kind: 'cut-off' }
  /** A 200 whose body is valid JSON of so many bytes, streamed, its length not announced. */
  | { readonly kind: 'huge'; readonly bytes: number }
  /** A 200 with a body that is not JSON. */
  | { readonly kind: 'not-json' }
  /** A 200 with `{}`. */
  | { readonly kind: 'no-job' }
  | { readonly kind: 'unauthorized' }
  | { readonly kind: 'unauthorized-unwrapped' }
  /** The 401 that a new token does not cure. */
  | { readonly kind: 'unknown-client' }
  /**
   * A 429 with exactly this `Retry-After`, or with the date so many milliseconds after the request's arrival, or
   * without one; it is no doing of the limits.
   */
  | { readonly kind: 'too-many'; readonly retryAfter?: string; readonly dateInMs?: number }
  /** The normal answer, compressed when the client accepts that. */
  | { readonly kind: 'gzip' };

export function reactionTo(spec: FaultSpec, normal: Answer, clientId: string): Reaction {
  switch (spec.kind) {
    case 'status':
      return spec.hangs ? hangBody(statusAnswer(spec)) : plain(statusAnswer(spec));
    case 'hang':
      return HANG;
    case 'hang-body':
      return hangBody(normal);
    case 'slow':
      return { ...plain(normal), delayMs: spec.ms };
    case 'hold':
      return { ...plain(normal), held: true };
    case 'reset':
      return RESET;
    case 'cut-off':
      return {
        outcome: 'cut-off',
        send: ({ socket }, response) => sendHalf(response, normal, () => socket.destroy()),
      };
    case 'huge':
      return { outcome: 200, send: (_, response) => sendHuge(response, spec.bytes) };
    case 'not-json':
      return plain({ status: 200, body: '{"job": {"id": "cc3d35cc-41' });
    case 'no-job':
      return plain({ status: 200, body: '{}' });
    case 'unauthorized':
      return plain(UNAUTHORIZED);
    case 'unauthorized-unwrapped':
      return plain(UNAUTHORIZED_UNWRAPPED);
    case 'unknown-client':
      return plain(UNKNOWN_CLIENT);
    case 'too-many':
      return plain(tooManyRequests(retryAfterOf(spec), clientId));
    case 'gzip':
      return { outcome: normal.status, send: (request, response) => sendGzip(request, response, normal) };
  }
}

function retryAfterOf({ retryAfter: text, dateInMs }: FaultSpec & { kind: 'too-many' }): string | undefined {
  return dateInMs === undefined ? text : retryAfter(dateInMs, 'date');
}

function hangBody(answer: Answer): Reaction {
  return { outcome: 'hang-body', send: (_, response) => sendHalf(response, answer, () => undefined) };
}

/** A fault's answer. */
export function statusAnswer({ kind: _, body, ...rest }: StatusFault): Answer {
  if (body === undefined) return rest;
  return { ...rest, body: typeof body === 'string' ? body : JSON.stringify(body) };
}

function sendGzip(request: IncomingMessage, response: ServerResponse, normal: Answer): void {
  const accepted = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  if (!accepted) return sendAnswer(response, normal);
  const headers = { ...normal.headers, 'content-encoding': 'gzip', vary: 'accept-encoding' };
  sendAnswer(response, { ...normal, body: gzipSync(normal.body ?? ''), headers });
}

function sendHuge(response: ServerResponse, bytes: number): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  // A client that hangs up on it is what is hoped for, not an error.
  pipeline(Readable.from(hugeJson(bytes)), response, () => undefined);
}

function* hugeJson(bytes: number): Generator<Buffer> {
  const [head, tail] = ['{"job":{"name":"', '"}}'];
  const chunk = Buffer.alloc(64 * 1024, 'x');
  yield Buffer.from(head);
  let left = bytes - head.length - tail.length;
  for (; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
  yield Buffer.from(tail);
}
