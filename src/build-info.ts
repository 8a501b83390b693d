import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { BuildInfo } from './metrics/metrics.ts';

const manifest = z.object({ version: z.string() });

/** Reads the version from package.json, which lies beside both `src` and `dist`. */
export function readBuildInfo(revision: string): BuildInfo {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return { version: manifest.parse(JSON.parse(text)).version, revision };
}
