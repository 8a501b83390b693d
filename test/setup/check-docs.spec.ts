import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const SCRIPT = join(import.meta.dirname, 'check-docs.mjs');

/** A project whose references are all good. */
const sound = {
  'docs/CONTRACT.md':
    '# Contract\n\n## 1. Routes\n\n## 2. Answers\n\n### Freshness\n\nText.\n\n## 3. Errors\n',
  'src/read.ts': [
    '/** One read (docs/CONTRACT.md, section 2, Freshness). */',
    '/** Errors (docs/CONTRACT.md, sections 1 to 3); RFC 9110, section 15. See ARCHITECTURE.md, race 1. */',
  ].join('\n'),
  'test/read.spec.ts': '/** docs/CONTRACT.md, sections 1 and 3. */',
  'README.md': 'See [errors](docs/CONTRACT.md#3-errors), [below](#use-it), `src/read.ts`.\n\n## Use `it`\n',
  'ARCHITECTURE.md': [
    '## Invariants\n\n1. Nothing is sent twice:\n   `test/read.spec.ts`.',
    '## Races\n\n1. *Two at once.* `test/read.spec.ts`.\n2. *Three.* `test/read.spec.ts`.',
    '## The rest\n\n1. No test is needed here.\n',
  ].join('\n\n'),
};

/** The faults that the check finds in that project with some files changed. */
function check(changed: Readonly<Record<string, string>> = {}): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'docs-'));
  for (const [name, text] of Object.entries({ ...sound, ...changed })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const { status, stderr } = spawnSync(process.execPath, [SCRIPT, folder], { encoding: 'utf8' });
  rmSync(folder, { recursive: true });
  expect(status).toBe(stderr === '' ? 0 : 1);
  return stderr === '' ? [] : stderr.trim().split('\n');
}

describe('the check of the documentation', () => {
  it('passes when every reference is good', () => {
    expect(check()).toEqual([]);
  });

  it.each([
    ['// docs/CONTRAKT.md', 'docs/CONTRAKT.md does not exist'],
    ['// docs/CONTRACT.md, section 4', 'docs/CONTRACT.md has no section 4'],
    ['// docs/CONTRACT.md, sections 2 to 4', 'docs/CONTRACT.md has no section 4'],
    ['// docs/CONTRACT.md, sections 4 and 1', 'docs/CONTRACT.md has no section 4'],
    ['// docs/CONTRACT.md, section 3, Freshness', 'docs/CONTRACT.md has no section 3, Freshness'],
    ['// contract section 3', '"contract section 3" names no file: write docs/CONTRACT.md, section N'],
    ['// ARCHITECTURE.md, race 3', 'ARCHITECTURE.md, race 3 does not exist'],
    ['// ARCHITECTURE.md, invariant 2', 'ARCHITECTURE.md, invariant 2 does not exist'],
  ])('finds a broken reference in the source: %s', (comment, fault) => {
    expect(check({ 'src/read.ts': `\n${comment}\n` })).toEqual([`src/read.ts:2: ${fault}`]);
  });

  it.each([
    ['[a](docs/NONE.md)', 'the link to docs/NONE.md is broken: no such file'],
    ['[a](docs/CONTRACT.md#4-more)', 'the link to docs/CONTRACT.md#4-more is broken: no such heading'],
    ['[a](#none)', 'the link to #none is broken: no such heading'],
    ['![a](picture.png)', 'the link to picture.png is broken: no such file'],
    ['`src/written.ts`', '`src/written.ts` does not exist'],
    ['`read.ts` and `written.ts`', '`written.ts` does not exist'],
  ])('finds what a page refers to in vain: %s', (text, fault) => {
    expect(check({ 'README.md': text })).toEqual([`README.md:1: ${fault}`]);
  });

  it('looks at no link in a code block, and at none to another site', () => {
    const text = '```md\n[a](none.md) `src/none.ts`\n```\n\n[b](https://none.example/none.md)\n';
    expect(check({ 'README.md': text })).toEqual([]);
  });

  it('finds an invariant or a race without a test, and one whose test does not exist', () => {
    const page = sound['ARCHITECTURE.md'].replace('twice:\n   `test/read.spec.ts`', 'twice');
    expect(check({ 'ARCHITECTURE.md': page })).toEqual(['ARCHITECTURE.md:3: invariant 1 names no test file']);
    const gone = sound['ARCHITECTURE.md'].replace('Three.* `test/read', 'Three.* `test/written');
    expect(check({ 'ARCHITECTURE.md': gone })).toEqual([
      'ARCHITECTURE.md:9: `test/written.spec.ts` does not exist',
    ]);
  });

  it('finds a list of invariants or races that is missing, or out of order', () => {
    const page = sound['ARCHITECTURE.md'].replace('## Invariants', '## What holds').replace('\n2. ', '\n4. ');
    expect(check({ 'ARCHITECTURE.md': page })).toEqual([
      'ARCHITECTURE.md:1: there is no invariant in a numbered list',
      'ARCHITECTURE.md:9: race 4 is out of order',
    ]);
  });

  it('finds a decision that is not in the index', () => {
    expect(check({ 'docs/decisions/0001-one.md': '# 0001. One\n' })).toEqual([
      'ARCHITECTURE.md:1: there is no link to docs/decisions/0001-one.md',
    ]);
  });

  it('finds a message in a table of log lines that nothing logs', () => {
    const page = '| log line | fields |\n|---|---|\n| `read`, `… read` | |\n| `job written` | `status` |\n';
    expect(check({ 'docs/OPERATIONS.md': page, 'src/log.ts': "log.info('a job was read');" })).toEqual([
      'docs/OPERATIONS.md:4: nothing in src logs "job written"',
    ]);
  });
});
