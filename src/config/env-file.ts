import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';

export interface EnvFile {
  readonly values: Readonly<Record<string, string | undefined>>;
  /** Names of values that were truncated at an unquoted `#`. */
  readonly truncated: readonly string[];
}

/** A `#` without a blank before it: Node's parser starts a comment there all the same. */
const INNER_HASH = /(?<=\S)#/g;
/** Placeholder for such a `#`: a private-use code point. */
const STAND_IN = '\uE000';

/** The file exists but cannot be read. */
export class EnvFileError extends Error {}

/** Reads the `.env` file in the working directory; a missing file is empty. @throws {EnvFileError} */
export function readEnvFile(): EnvFile {
  let text = '';
  try {
    text = readFileSync('.env', 'utf8');
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new EnvFileError(`.env: cannot be read (${code})`);
  }
  // PowerShell may write UTF-16, in which every second byte is 0 and no name would be found.
  if (text.includes('\0')) throw new EnvFileError('.env: must be UTF-8 text');
  // A byte order mark, from editors on Windows, would become part of the first name.
  return parseEnvFile(text.replace(/^\uFEFF/, ''));
}

/**
 * Parses the text with Node's parser, which truncates a value at the first unquoted `#`: half a password is a wrong
 * password. Truncated values are detected by parsing again with placeholders.
 */
export function parseEnvFile(text: string): EnvFile {
  const values = parseEnv(text);
  const whole = parseEnv(text.replace(INNER_HASH, STAND_IN));
  const truncated = Object.keys(values).filter(
    (name) => whole[name]?.replaceAll(STAND_IN, '#') !== values[name],
  );
  return { values, truncated };
}
