import { addAbortSignal, type Readable } from 'node:stream';

/** The words of an error: no longer ones are taken, in bytes, and none that come later, in milliseconds. */
const LARGEST_ERROR = 256 * 1024;
const LONGEST_ERROR_MS = 1000;

export class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

/** Reads a body to its end. @throws {TooLarge} */
export async function readBody(stream: Readable, signal: AbortSignal, largest: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of addAbortSignal(signal, stream) as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop destroys the stream, and with it the connection.
    if (length > largest) throw new TooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** An error says what it has to say by its status alone, if need be: nothing, when its words do not come soon. */
export async function readWords(stream: Readable, signal: AbortSignal): Promise<Buffer> {
  const soon = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_ERROR_MS)]);
  return readBody(stream, soon, LARGEST_ERROR).catch(() => Buffer.alloc(0));
}
