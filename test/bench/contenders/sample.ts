import { readFileSync } from 'node:fs';
import type { Sample } from './contender.ts';

/** What a bare server is told to send, as a file that it is started with. */
export function readSample(): Sample & { readonly bytes: Buffer } {
  const sample = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Sample;
  return { ...sample, bytes: Buffer.from(sample.body) };
}
