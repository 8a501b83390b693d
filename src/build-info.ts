import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** Which build of the gateway runs. */
export interface BuildInfo {
  /** Of package.json. */
  readonly version: string;
  /** The commit it was built from; `unknown` where nobody has said it. */
  readonly revision: string;
}

const manifest = z.object({ version: z.string() });

/** package.json lies beside `src` as beside `dist`. */
export function readBuildInfo(revision: string): BuildInfo {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return { version: manifest.parse(JSON.parse(text)).version, revision };
}
