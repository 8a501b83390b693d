import type { IncomingMessage } from 'node:http';

/** The whole body of a request. Rejects when the client goes away before its end. */
export async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
