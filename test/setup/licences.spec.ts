import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const SCRIPT = join(import.meta.dirname, 'check-licences.mjs');

/** What the check reports for a project with one package. */
function check(license: unknown, lock: object = {}, installed = true): string {
  const folder = mkdtempSync(join(tmpdir(), 'licences-'));
  const write = (path: string, content: unknown): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), JSON.stringify(content));
  };
  write('package-lock.json', { packages: { '': {}, 'node_modules/one': lock } });
  if (installed) write('node_modules/one/package.json', { license });
  const { status, stderr } = spawnSync(process.execPath, [SCRIPT, folder], { encoding: 'utf8' });
  rmSync(folder, { recursive: true });
  expect(status).toBe(stderr === '' ? 0 : 1);
  return stderr.trim();
}

describe('the check of licences', () => {
  it.each(['MIT', '(MIT OR GPL-3.0)', 'Apache-2.0 AND MIT'])('allows %s', (licence) => {
    expect(check(licence)).toBe('');
  });

  it.each([
    'GPL-3.0',
    'MIT AND GPL-3.0',
    'UNLICENSED',
    'SEE LICENSE IN LICENSE',
    '',
    undefined,
    { type: 'MIT' },
  ])('refuses %j', (licence) => {
    expect(check(licence)).toMatch(/^node_modules\/one \(shipped\): .* is not allowed$/);
  });

  it('allows more for tools, and reads the lock file for a package that is not installed', () => {
    expect(check('CC-BY-4.0')).toContain('is not allowed');
    expect(check('CC-BY-4.0', { dev: true })).toBe('');
    expect(check(undefined, { license: 'MIT' }, false)).toBe('');
    expect(check(undefined, { license: 'AGPL-3.0' }, false)).toContain('is not allowed');
  });
});
