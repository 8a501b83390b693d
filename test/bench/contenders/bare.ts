import { join } from 'node:path';
import { end, firstLineOf, startPinned } from '../lib/pinned.ts';
import type { Contender } from './contender.ts';

/** Starts one of the bare servers. @param samplePath a file that holds a `Sample` */
export async function startBare(
  name: string,
  file: string,
  samplePath: string,
  ...body: readonly 'buffer'[]
): Promise<Contender> {
  const child = startPinned([process.execPath, join(import.meta.dirname, file), samplePath, ...body]);
  const url = await firstLineOf(child);
  return { name, url, pid: child.pid ?? 0, stop: () => end(child) };
}
