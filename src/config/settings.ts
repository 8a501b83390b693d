import { readFileSync } from 'node:fs';
import { type EnvFile, EnvFileError, readEnvFile } from './env-file.ts';
import { faultsOfRedis, hasReadableCredentials } from './redis-rules.ts';
import { faultOfText, parseUrl } from './texts.ts';
import { isLoopback } from './units.ts';
import { fromFiles, type Values, variables } from './variables.ts';

export type { QuotaLimit } from './units.ts';

/** The usual variables that say which proxy to go through (either letter case). */
const PROXY_VARIABLES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
]);

/** The checked settings by variable name, durations in milliseconds (docs/CONTRACT.md, section 7). */
export interface Settings extends Values {
  /** The proxy variables that are set, as Node's HTTP agents take them. */
  readonly proxy: Readonly<Record<string, string>>;
  /** The mounted files of what was read from one. */
  readonly files: Readonly<Partial<Record<(typeof fromFiles)[number], string>>>;
}

type Environment = Readonly<Record<string, string | undefined>>;
/** What a variable's value leads to, looked at before the start: every fault found in it, or in that it is missing. */
export type Checks = Partial<Record<keyof Values, (value: string, mayBeMissing: boolean) => string[]>>;

/** Every fault of the environment, a line each: `NAME: what is wrong`. No line holds a value. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  constructor(readonly faults: readonly string[]) {
    super(`the settings are at fault:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
  }
}

/** The environment of this process, over what a `.env` file in the working directory says. */
export function environment(): Environment {
  return { ...envFile().values, ...process.env };
}

/** @throws {SettingsError} when the file is there and cannot be read */
function envFile(): EnvFile {
  try {
    return readEnvFile();
  } catch (error) {
    throw error instanceof EnvFileError ? new SettingsError([error.message]) : error;
  }
}

/** The settings that the `.env` file says but for what follows an unquoted `#`, by name. */
export function cutSettings(): string[] {
  const names = Object.keys(variables);
  const known = [...names, ...names.map((name) => `${name}_FILE`), ...PROXY_VARIABLES];
  return envFile().cut.filter((name) => known.includes(name) && process.env[name] === undefined);
}

/** @throws {SettingsError} with every fault at once. An empty variable counts as one that is not set. */
export function loadSettings(env: Environment, checks: Checks = {}): Settings {
  const faults: string[] = [];
  const given = withFiles(env, faults);
  const isFaulty = (name: string): boolean => faults.some((fault) => fault.startsWith(`${name}: `));
  const values: Record<string, unknown> = {};
  for (const [name, variable] of Object.entries(variables)) {
    if (isFaulty(name)) continue;
    const text = given[name] ?? ('default' in variable ? variable.default : undefined);
    if (text === undefined) {
      if (!isFaulty(`${name}_FILE`)) faults.push(`${name}: is required`);
      continue;
    }
    const parsed = variable.form.safeParse(text);
    if (parsed.success) values[name] = parsed.data;
    else faults.push(...parsed.error.issues.map((issue) => `${name}: ${issue.message}`));
  }
  const settings = Object.freeze({ ...values, proxy: proxyOf(env), files: filesOf(env) }) as Settings;
  faults.push(...faultsOfProxy(settings.proxy), ...faultsOfRedis(given), ...faultsBetween(settings));
  faults.push(...faultsOfCallers(settings, given['CALLERS_FILE'] !== undefined, checks));
  if (faults.length > 0) throw new SettingsError(faults);
  return settings;
}

/**
 * The longest that a read may last, in milliseconds: its waiting, a token, the call and a second and third try. Who has no
 * answer by then will not take one.
 */
export function longestReadMs({ PATIENCE, UPSTREAM_TIMEOUT }: Settings): number {
  return PATIENCE + 4 * UPSTREAM_TIMEOUT;
}

/** What each variable says, without the blanks around it, and what is wrong with it whatever it is for. */
function withFiles(env: Environment, faults: string[]): Record<string, string | undefined> {
  const given: Record<string, string | undefined> = {};
  const take = (name: string, text: string | undefined, from = name): void => {
    given[name] = text;
    const fault = text === undefined ? undefined : faultOfText(text);
    if (fault !== undefined) faults.push(`${from}: ${fault}`);
  };
  for (const name of Object.keys(variables)) take(name, textOf(env, name));
  for (const name of fromFiles) {
    const file = `${name}_FILE`;
    const path = textOf(env, file);
    if (path === undefined) continue;
    if (given[name] !== undefined) faults.push(`${file}: ${name} is set as well; give one of them`);
    try {
      take(name, readFileSync(path, 'utf8').trim(), file);
      if (given[name] === '') faults.push(`${file}: the file is empty`);
    } catch (error) {
      given[name] = undefined;
      faults.push(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
    }
  }
  return given;
}

/** Blanks around a value are no part of it (`trim` also takes off a byte order mark); nothing else is not set. */
function textOf(env: Environment, name: string): string | undefined {
  return env[name]?.trim() || undefined;
}

function filesOf(env: Environment): Settings['files'] {
  const paths = fromFiles.map((name) => [name, textOf(env, `${name}_FILE`)] as const);
  return Object.fromEntries(paths.filter(([, path]) => path));
}

function faultsBetween(settings: Settings): string[] {
  return [
    ...faultsOfReplicas(settings),
    ...faultsOfOpenDoor(settings),
    ...faultsOfOpenWeb(settings),
    ...faultsOfTokens(settings),
  ];
}

/** Each replica's part of each limit is a call at least: with more replicas than calls they would send too many. */
function faultsOfReplicas({ REPLICAS, UPSTREAM_LIMITS }: Partial<Settings>): string[] {
  const fewest = Math.min(...(UPSTREAM_LIMITS ?? []).map(({ limit }) => limit));
  if (REPLICAS === undefined || REPLICAS <= fewest) return [];
  return ['REPLICAS: must be no more than the calls of the smallest of UPSTREAM_LIMITS'];
}

function faultsOfOpenDoor({ AUTH, HOST, AUTH_OFF_BEHIND_TRUSTED_NETWORK }: Partial<Settings>): string[] {
  if (AUTH !== 'off' || HOST === undefined || isLoopback(HOST) || AUTH_OFF_BEHIND_TRUSTED_NETWORK === 'yes')
    return [];
  return ['AUTH: off needs a loopback HOST, or AUTH_OFF_BEHIND_TRUSTED_NETWORK=yes'];
}

/** Tokens may say themselves what they may read: then a file that nobody has named may be missing. */
function faultsOfCallers(settings: Partial<Settings>, isNamed: boolean, checks: Checks): string[] {
  const { AUTH = 'off', CALLERS_FILE } = settings;
  if (AUTH === 'off' || CALLERS_FILE === undefined) return [];
  const found = checks.CALLERS_FILE?.(CALLERS_FILE, AUTH === 'jwt' && !isNamed) ?? [];
  return found.map((fault) => `CALLERS_FILE: ${fault}`);
}

function faultsOfTokens({ AUTH, ...settings }: Partial<Settings>): string[] {
  if (AUTH?.includes('jwt') !== true) return [];
  const missing = (['JWT_ISSUER', 'JWT_AUDIENCE'] as const).filter((name) => settings[name] === '');
  return missing.map((name) => `${name}: is required with AUTH=${AUTH}`);
}

/** Where nobody is asked for a key, a browser inside is all that a page on the web would need. */
function faultsOfOpenWeb({ AUTH, CORS_ORIGINS }: Partial<Settings>): string[] {
  if (AUTH !== 'off' || !CORS_ORIGINS?.includes('*')) return [];
  return ['CORS_ORIGINS: must name the origins where AUTH is off'];
}

/** Node would go without a proxy whose address it does not understand: said, not done. */
function faultsOfProxy(proxy: Settings['proxy']): string[] {
  return Object.entries(proxy)
    .map(([name, value]) => [name, faultOfText(value) ?? faultOfProxyUrl(name, value)] as const)
    .flatMap(([name, fault]) => (fault === undefined ? [] : [`${name}: ${fault}`]));
}

function faultOfProxyUrl(name: string, text: string): string | undefined {
  if (/^no_proxy$/i.test(name)) return undefined;
  const isUrl = parseUrl(text, ['http:', 'https:']) !== undefined && hasReadableCredentials(text);
  return isUrl ? undefined : 'must be a URL that begins with http:// or https://';
}

function proxyOf(env: Environment): Record<string, string> {
  const set = PROXY_VARIABLES.map((name) => [name, textOf(env, name)] as const);
  return Object.fromEntries(set.filter((entry): entry is [string, string] => Boolean(entry[1])));
}
