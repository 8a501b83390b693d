import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/** Server-sent events (WHATWG HTML, section 9.2). */

export function eventStreamHeaders(cacheControl: string): Readonly<Record<string, string>> {
  return {
    'content-type': 'text/event-stream',
    'cache-control': cacheControl,
    // nginx, and proxies built on it, would buffer the events otherwise.
    'x-accel-buffering': 'no',
  };
}

/** How long an ended stream waits for its reader to take the last event, in milliseconds. */
const LONGEST_END_MS = 1000;

/** Sends the head of a stream. The events are written to the response that is returned. */
export function openEventStream(reply: FastifyReply, cacheControl: string): ServerResponse {
  const { raw } = reply;
  reply.hijack();
  raw.writeHead(200, reply.addCommonHeaders(Object.entries(eventStreamHeaders(cacheControl)).flat()));
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
