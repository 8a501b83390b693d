import { addAbortSignal, type Readable } from 'node:stream';

/** Bounds for the body of an error, in bytes and milliseconds. */
const MAX_ERROR_BYTES = 256 * 1024;
const LONGEST_ERROR_MS = 1000;

/** The body exceeds its limit. */
export class BodyTooLarge extends Error {
  override readonly name = 'TooLarge';
}

/** Reads a body completely. @throws {BodyTooLarge} */
export async function readBody(stream: Readable, signal: AbortSignal, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of addAbortSignal(signal, stream) as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop destroys the stream, and with it the connection.
    if (length > maxBytes) throw new BodyTooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** Reads the body of an error. It is optional: empty when it does not arrive soon. */
export async function readErrorBody(stream: Readable, signal: AbortSignal): Promise<Buffer> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_ERROR_MS)]);
  return readBody(stream, bounded, MAX_ERROR_BYTES).catch(() => Buffer.alloc(0));
}
