import { readFileSync } from 'node:fs';
import { type EnvFile, EnvFileError, readEnvFile } from './env-file.ts';
import { redisFaults, hasReadableCredentials } from './redis-rules.ts';
import { textFault, parseUrl } from './texts.ts';
import { isLoopback } from './units.ts';
import { fromFiles, type Values, variables } from './variables.ts';

export type { QuotaLimit } from './units.ts';

/** The conventional proxy variables, in either letter case. */
const PROXY_VARIABLES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
]);

/** The validated settings (docs/CONTRACT.md, section 7), by the names of their variables; durations in milliseconds. */
export interface Settings extends Values {
  /** The proxy variables that are set, for Node's HTTP agents. */
  readonly proxy: Readonly<Record<string, string>>;
  /** Paths of the mounted files, by the setting that was read from them. */
  readonly files: Readonly<Partial<Record<(typeof fromFiles)[number], string>>>;
}

type Environment = Readonly<Record<string, string | undefined>>;
/** Further checks of values at startup, such as the contents of a file. Return the faults found. */
export type Checks = Partial<Record<keyof Values, (value: string, mayBeMissing: boolean) => string[]>>;

/** All faults of the environment, one per line as `NAME: fault`, without values. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  constructor(readonly faults: readonly string[]) {
    super(`invalid settings:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
  }
}

/** The environment of this process, with a `.env` file in the working directory as defaults. */
export function environment(): Environment {
  return { ...envFile().values, ...process.env };
}

/** @throws {SettingsError} when the file exists but cannot be read */
function envFile(): EnvFile {
  try {
    return readEnvFile();
  } catch (error) {
    throw error instanceof EnvFileError ? new SettingsError([error.message]) : error;
  }
}

/** Names of the settings whose value in the `.env` file was truncated at an unquoted `#`. */
export function cutSettings(): string[] {
  const names = Object.keys(variables);
  const known = [...names, ...names.map((name) => `${name}_FILE`), ...PROXY_VARIABLES];
  return envFile().truncated.filter((name) => known.includes(name) && process.env[name] === undefined);
}

/** Loads and checks all settings. An empty variable counts as unset. @throws {SettingsError} with all faults */
export function loadSettings(env: Environment, checks: Checks = {}): Settings {
  const faults: string[] = [];
  const given = readValues(env, faults);
  const isFaulty = (name: string): boolean => faults.some((fault) => fault.startsWith(`${name}: `));
  const values: Record<string, unknown> = {};
  for (const [name, variable] of Object.entries(variables)) {
    if (isFaulty(name)) continue;
    const text = given[name] ?? ('default' in variable ? variable.default : undefined);
    if (text === undefined) {
      if (!isFaulty(`${name}_FILE`)) faults.push(`${name}: is required`);
      continue;
    }
    const parsed = variable.schema.safeParse(text);
    if (parsed.success) values[name] = parsed.data;
    else faults.push(...parsed.error.issues.map((issue) => `${name}: ${issue.message}`));
  }
  const settings = Object.freeze({
    ...values,
    proxy: proxySettings(env),
    files: mountedFiles(env),
  }) as Settings;
  faults.push(...proxyFaults(settings.proxy), ...redisFaults(given), ...conflicts(settings));
  faults.push(...callersFaults(settings, given['CALLERS_FILE'] !== undefined, checks));
  if (faults.length > 0) throw new SettingsError(faults);
  return settings;
}

/** Longest duration of a read, in milliseconds: its wait, a token request, the call and two retries. */
export function longestReadMs({ PATIENCE, UPSTREAM_TIMEOUT }: Settings): number {
  return PATIENCE + 4 * UPSTREAM_TIMEOUT;
}

/** Reads all variables and mounted files, trimmed, and checks their text. */
function readValues(env: Environment, faults: string[]): Record<string, string | undefined> {
  const given: Record<string, string | undefined> = {};
  const add = (name: string, text: string | undefined, from = name): void => {
    given[name] = text;
    const fault = text === undefined ? undefined : textFault(text);
    if (fault !== undefined) faults.push(`${from}: ${fault}`);
  };
  for (const name of Object.keys(variables)) add(name, textOf(env, name));
  for (const name of fromFiles) {
    const file = `${name}_FILE`;
    const path = textOf(env, file);
    if (path === undefined) continue;
    if (given[name] !== undefined) faults.push(`${file}: ${name} is set as well; give one of them`);
    try {
      add(name, readFileSync(path, 'utf8').trim(), file);
      if (given[name] === '') faults.push(`${file}: the file is empty`);
    } catch (error) {
      given[name] = undefined;
      faults.push(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
    }
  }
  return given;
}

/** The trimmed value (`trim` also removes a byte order mark); undefined when empty. */
function textOf(env: Environment, name: string): string | undefined {
  return env[name]?.trim() || undefined;
}

function mountedFiles(env: Environment): Settings['files'] {
  const paths = fromFiles.map((name) => [name, textOf(env, `${name}_FILE`)] as const);
  return Object.fromEntries(paths.filter(([, path]) => path));
}

function conflicts(settings: Settings): string[] {
  return [
    ...replicasFaults(settings),
    ...authOffFaults(settings),
    ...corsFaults(settings),
    ...jwtFaults(settings),
  ];
}

/** A replica's part of a limit is at least one call, so that more replicas than calls would exceed it. */
function replicasFaults({ REPLICAS, UPSTREAM_LIMITS }: Partial<Settings>): string[] {
  const lowest = Math.min(...(UPSTREAM_LIMITS ?? []).map(({ limit }) => limit));
  if (REPLICAS === undefined || REPLICAS <= lowest) return [];
  return ['REPLICAS: must be no more than the calls of the smallest of UPSTREAM_LIMITS'];
}

function authOffFaults({ AUTH, HOST, AUTH_OFF_BEHIND_TRUSTED_NETWORK }: Partial<Settings>): string[] {
  if (AUTH !== 'off' || HOST === undefined || isLoopback(HOST) || AUTH_OFF_BEHIND_TRUSTED_NETWORK === 'yes')
    return [];
  return ['AUTH: off needs a loopback HOST, or AUTH_OFF_BEHIND_TRUSTED_NETWORK=yes'];
}

/** With AUTH=jwt the file may be missing unless it was set: tokens can contain their own permissions. */
function callersFaults(settings: Partial<Settings>, isSet: boolean, checks: Checks): string[] {
  const { AUTH = 'off', CALLERS_FILE } = settings;
  if (AUTH === 'off' || CALLERS_FILE === undefined) return [];
  const found = checks.CALLERS_FILE?.(CALLERS_FILE, AUTH === 'jwt' && !isSet) ?? [];
  return found.map((fault) => `CALLERS_FILE: ${fault}`);
}

function jwtFaults({ AUTH, ...settings }: Partial<Settings>): string[] {
  if (AUTH?.includes('jwt') !== true) return [];
  const missing = (['JWT_ISSUER', 'JWT_AUDIENCE'] as const).filter((name) => settings[name] === '');
  return missing.map((name) => `${name}: is required with AUTH=${AUTH}`);
}

/** Without authentication, any web page could read jobs through a browser in the internal network. */
function corsFaults({ AUTH, CORS_ORIGINS }: Partial<Settings>): string[] {
  if (AUTH !== 'off' || !CORS_ORIGINS?.includes('*')) return [];
  return ['CORS_ORIGINS: must name the origins where AUTH is off'];
}

/** Node would silently ignore an invalid proxy URL. */
function proxyFaults(proxy: Settings['proxy']): string[] {
  return Object.entries(proxy)
    .map(([name, value]) => [name, textFault(value) ?? proxyUrlFault(name, value)] as const)
    .flatMap(([name, fault]) => (fault === undefined ? [] : [`${name}: ${fault}`]));
}

function proxyUrlFault(name: string, text: string): string | undefined {
  if (/^no_proxy$/i.test(name)) return undefined;
  const isUrl = parseUrl(text, ['http:', 'https:']) !== undefined && hasReadableCredentials(text);
  return isUrl ? undefined : 'must be a URL that begins with http:// or https://';
}

function proxySettings(env: Environment): Record<string, string> {
  const set = PROXY_VARIABLES.map((name) => [name, textOf(env, name)] as const);
  return Object.fromEntries(set.filter((entry): entry is [string, string] => Boolean(entry[1])));
}
