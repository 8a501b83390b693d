import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/** Server-sent events (WHATWG HTML, section 9.2). */

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store, no-transform',
  // nginx, and proxies built on it, would buffer the events otherwise.
  'x-accel-buffering': 'no',
};

/** How long an ended stream waits for its reader to take the last event, in milliseconds. */
const LONGEST_END_MS = 1000;

/** Sends the head of a stream. The events are written to the response that is returned. */
export function openEventStream(reply: FastifyReply): ServerResponse {
  const { raw } = reply;
  reply.hijack();
  raw.writeHead(200, reply.addCommonHeaders(Object.entries(EVENT_STREAM_HEADERS).flat()));
  raw.flushHeaders();
  return raw;
}

/** @param data one line */
export function serverSentEvent(name: string, data: string, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${data}\n\n`;
}

/** Ends a stream. A reader that does not read is cut off: it would keep the server from closing. */
export function endEventStream(response: ServerResponse, lastEvent = ''): void {
  const timer = setTimeout(() => response.destroy(), LONGEST_END_MS).unref();
  response.once('close', () => {
    clearTimeout(timer);
  });
  if (!response.writableEnded) response.end(lastEvent);
}
