import type { FastifyReply } from 'fastify';

/**
 * Adds the header fields that every response carries to a head of names and values in turn.
 * @param closes whether the connection closes after the response
 */
export function addCommonHeaders(head: string[], correlationId: string, closes: boolean): string[] {
  // `nosniff`: a browser takes a response for what its content type says, and for nothing else.
  head.push('x-correlation-id', correlationId, 'x-content-type-options', 'nosniff');
  if (closes) head.push('connection', 'close');
  return head;
}

/** Sets them on a response that Fastify sends. */
export function setCommonHeaders(reply: FastifyReply, closes: boolean): void {
  const fields = addCommonHeaders([], reply.request.id, closes);
  for (let at = 0; at < fields.length; at += 2) void reply.header(fields[at] ?? '', fields[at + 1]);
}
