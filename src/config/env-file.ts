import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';

export interface EnvFile {
  readonly values: Readonly<Record<string, string | undefined>>;
  /** The names whose values end early, at a `#` that is not quoted. */
  readonly cut: readonly string[];
}

/** A `#` that would be taken for the beginning of a comment, though no blank stands before it. */
const INNER_HASH = /(?<=\S)#/g;
/** Stands for such a `#`, and for nothing else: the code point is for private use. */
const STAND_IN = '\uE000';

/** The file is there and cannot be read, for the reason that the message says. */
export class EnvFileError extends Error {}

/**
 * The `.env` file in the working directory; nothing is in one that is not there.
 * @throws {EnvFileError}
 */
export function readEnvFile(): EnvFile {
  let text = '';
  try {
    text = readFileSync('.env', 'utf8');
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new EnvFileError(`.env: cannot be read (${code})`);
  }
  // What PowerShell writes may be UTF-16: every second byte is 0 then, and no name in it would be found.
  if (text.includes('\0')) throw new EnvFileError('.env: must be UTF-8 text');
  // Editors on Windows begin a file so, and the first name in it would not be found.
  return parseEnvFile(text.replace(/^\uFEFF/, ''));
}

/**
 * Parses it as Node does, which cuts a value at the first `#` outside of quotes: half a password is a wrong password. What was cut is
 * found by the same parser: without those signs the values are longer.
 */
export function parseEnvFile(text: string): EnvFile {
  const values = parseEnv(text);
  const whole = parseEnv(text.replace(INNER_HASH, STAND_IN));
  const cut = Object.keys(values).filter((name) => whole[name]?.replaceAll(STAND_IN, '#') !== values[name]);
  return { values, cut };
}
