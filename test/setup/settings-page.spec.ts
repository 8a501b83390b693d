import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { variables } from '../../src/config/variables.ts';

const SCRIPT = join(import.meta.dirname, 'settings-page.mjs');
const names = Object.keys(variables);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'settings-'));
  mkdirSync(join(folder, 'docs'));
  write('.env.example', '# A head.\n\n# OLD=1\n');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

function read(name: string): string {
  return readFileSync(join(folder, name), 'utf8');
}

/** A page that is to list these settings. */
function pageOf(listed: readonly string[]): string {
  return `Before.\n\n<!-- settings ${listed.join(' ')} -->\n\nold\n\n<!-- /settings -->\n\nAfter.\n`;
}

function run(...args: string[]): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [SCRIPT, ...args, folder], { encoding: 'utf8' });
  return { status, stderr: stderr.trim() };
}

describe('the page of the settings', () => {
  it('is made from the schema, and is up to date until either changes', () => {
    write('docs/SETTINGS.md', pageOf(names));
    expect(run('--check')).toEqual({
      status: 1,
      stderr: 'docs/SETTINGS.md is out of date: run npm run settings',
    });
    expect(run()).toEqual({ status: 0, stderr: '' });
    expect(read('docs/SETTINGS.md')).toContain(
      `| \`PATIENCE\` | \`10s\` | ${variables.PATIENCE.about} | duration from 100ms to 1h |`,
    );
    expect(read('docs/SETTINGS.md')).toMatch(/^Before\.\n[^]*\nAfter\.\n$/);
    expect(read('.env.example')).toMatch(/^# A head\.\n\n# [^\n]+\n# HOST=0\.0\.0\.0\n/);
    expect(run('--check')).toEqual({ status: 0, stderr: '' });
    write('.env.example', `${read('.env.example')}# MORE=1\n`);
    expect(run('--check')).toEqual({
      status: 1,
      stderr: '.env.example is out of date: run npm run settings',
    });
  });

  it('has to list each setting once, and nothing else', () => {
    write('docs/SETTINGS.md', pageOf(names.filter((name) => name !== 'PATIENCE')));
    expect(run().stderr).toBe('docs/SETTINGS.md has to list PATIENCE once, and lists it 0 times');
    write('docs/SETTINGS.md', pageOf([...names, 'PATIENCE']));
    expect(run().stderr).toBe('docs/SETTINGS.md has to list PATIENCE once, and lists it 2 times');
    write('docs/SETTINGS.md', pageOf([...names, 'OLD']));
    expect(run().stderr).toBe('docs/SETTINGS.md lists OLD, which is no setting');
  });
});
