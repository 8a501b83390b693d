import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { loadSettings, SettingsError } from '../../src/config/settings.ts';

const required = { ITWIN_CLIENT_ID: 'id', ITWIN_CLIENT_SECRET: 'top-secret' };

function faultsOf(env: Record<string, string>): readonly string[] {
  try {
    loadSettings({ ...required, ...env });
    return [];
  } catch (error) {
    if (error instanceof SettingsError) return error.faults;
    throw error;
  }
}

const url = { REDIS_URL: 'redis://redis:6379' };
const sentinels = { REDIS_SENTINELS: 'one:26379,two:26379', REDIS_SENTINEL_NAME: 'jobs' };
const cluster = { REDIS_CLUSTER: 'one:6379' };
const login = { REDIS_USERNAME: 'gateway', REDIS_PASSWORD: 'pass-word' };

describe('the Redis settings', () => {
  it('are empty by default, and parse lists of addresses', () => {
    expect(loadSettings(required)).toMatchObject({
      REDIS_URL: undefined,
      REDIS_SENTINELS: [],
      REDIS_CLUSTER: [],
    });
    const settings = loadSettings({ ...required, REDIS_CLUSTER: 'redis-1.example:6379, [::1]:6380' });
    expect(settings.REDIS_CLUSTER).toEqual([
      { host: 'redis-1.example', port: 6379 },
      { host: '::1', port: 6380 },
    ]);
  });

  it.each([url, sentinels, cluster])('accept a user and a password: %j', (topology) => {
    expect(faultsOf({ ...topology, ...login })).toEqual([]);
  });

  it.each([
    [{ ...url, ...cluster }, 'REDIS_CLUSTER: REDIS_URL is set as well; give one of them'],
    [{ ...url, ...sentinels }, 'REDIS_SENTINELS: REDIS_URL is set as well; give one of them'],
    [{ ...sentinels, ...cluster }, 'REDIS_CLUSTER: REDIS_SENTINELS is set as well; give one of them'],
    [{ REDIS_SENTINELS: 'one:26379' }, 'REDIS_SENTINEL_NAME: is required with REDIS_SENTINELS'],
    [{ REDIS_SENTINEL_NAME: 'jobs' }, 'REDIS_SENTINELS: is required with REDIS_SENTINEL_NAME'],
    [{ ...url, REDIS_SENTINEL_PASSWORD: 'x' }, 'REDIS_SENTINELS: is required with REDIS_SENTINEL_PASSWORD'],
    [{ ...cluster, REDIS_USERNAME: 'gateway' }, 'REDIS_PASSWORD: is required with REDIS_USERNAME'],
    [{ REDIS_PASSWORD: 'no' }, 'REDIS_PASSWORD: needs one of REDIS_URL, REDIS_SENTINELS, REDIS_CLUSTER'],
    [{ REDIS_TLS: 'yes' }, 'REDIS_TLS: needs one of REDIS_URL, REDIS_SENTINELS, REDIS_CLUSTER'],
    [{ ...url, REDIS_TLS: 'yes' }, 'REDIS_TLS: does not go with REDIS_URL, which says rediss://'],
    [
      { REDIS_URL: 'redis://:in-the-url@redis', REDIS_PASSWORD: 'pass-word' },
      'REDIS_PASSWORD: REDIS_URL has credentials as well; give one of them',
    ],
    [{ ...cluster, REDIS_TLS: 'maybe' }, 'REDIS_TLS: must be yes or no'],
    [
      { REDIS_URL: 'redis://gateway:%zz@redis' },
      'REDIS_URL: must be a URL such as redis://host:6379/0 (or rediss://): no path but the number of a database, no query, no fragment',
    ],
  ])('are refused when they conflict: %j', (env, fault) => {
    expect(faultsOf(env)).toEqual([fault]);
  });

  it.each([
    ['redis://redis', { host: 'redis', port: 6379, database: 0, username: '', password: '', tls: false }],
    ['redis://redis/', { database: 0 }],
    ['redis://redis.example:6380/15', { host: 'redis.example', port: 6380, database: 15 }],
    ['rediss://[::1]:6380/007', { host: '::1', port: 6380, database: 7, tls: true }],
    ['redis://:pass%20word@redis', { username: '', password: 'pass word' }],
    ['redis://me:p%40%2Fss@redis', { username: 'me', password: 'p@/ss' }],
  ])('parse %s', (text, server) => {
    expect(loadSettings({ ...required, REDIS_URL: text }).REDIS_URL).toMatchObject(server);
  });

  it.each([
    'one',
    'one:0',
    'one:65536',
    'one:6379,',
    'user:pass-word@one:6379',
    '::1:6379',
    'one:6379;two:6379',
  ])('refuse %j as addresses, without quoting the value', (list) => {
    expect(faultsOf({ REDIS_CLUSTER: list })).toEqual([
      'REDIS_CLUSTER: must be addresses such as redis-1:6379,[::1]:6380',
    ]);
  });

  it('read both passwords from mounted files', () => {
    const folder = mkdtempSync(join(tmpdir(), 'settings-'));
    writeFileSync(join(folder, 'redis'), 'of-redis\n');
    writeFileSync(join(folder, 'sentinel'), 'of-sentinel\n');
    const settings = loadSettings({
      ...required,
      ...sentinels,
      REDIS_PASSWORD_FILE: join(folder, 'redis'),
      REDIS_SENTINEL_PASSWORD_FILE: join(folder, 'sentinel'),
    });
    rmSync(folder, { recursive: true });
    expect(settings).toMatchObject({ REDIS_PASSWORD: 'of-redis', REDIS_SENTINEL_PASSWORD: 'of-sentinel' });
  });
});
