import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parseEnvFile } from '../../src/config/env-file.ts';
import { startUpstream, startGateway, temporaryFolder } from '../support/rig.ts';

const ROOT = join(import.meta.dirname, '../..');
const MAIN = join(ROOT, 'dist/main.js');
const WARNING = 'a value in .env was cut at an unquoted #: put it in quotes';

describe('a value in a .env file', () => {
  it.each([
    ['A=b#c', 'b'],
    ['A=#c', ''],
    ['A=b##c', 'b'],
    ['A=b"c#d"', 'b"c'],
    ['export A=b#c', 'b'],
    ['A=b#c\r\nB=1', 'b'],
  ])('is truncated at an unquoted #: %j', (text, value) => {
    const { values, truncated } = parseEnvFile(text);
    expect([values['A'], truncated]).toEqual([value, ['A']]);
  });

  it.each([
    ['A="b#c"', 'b#c'],
    ["A='b#c'", 'b#c'],
    ['A=`b#c`', 'b#c'],
    ['A="b#c" # a comment', 'b#c'],
    ['A="b\nB=c#d"', 'b\nB=c#d'],
    ['A=b # a comment, of issue#5', 'b'],
    ['# C=d#e\nA=b', 'b'],
  ])('is complete in quotes, or before a comment: %j', (text, value) => {
    const { values, truncated } = parseEnvFile(text);
    expect([values['A'], truncated]).toEqual([value, []]);
  });

  it('is complete when it is quoted as .env.example shows', () => {
    const example = readFileSync(join(ROOT, '.env.example'), 'utf8');
    const [, line = ''] = /\((ITWIN_CLIENT_SECRET='[^']*#[^']*')/.exec(example) ?? [];
    const { values, truncated } = parseEnvFile(line);
    expect([values['ITWIN_CLIENT_SECRET'], truncated]).toEqual(['ab#cd', []]);
  });
});

describe('startup', () => {
  it('warns once of each truncated setting, by its name only', async () => {
    const cwd = temporaryFolder();
    const lines = [
      'ITWIN_SCOPE=itwin-platform#hid-den',
      'JWT_AUDIENCE=a#b',
      'LOG_LEVEL="info"#c',
      'OTHER=a#hid-den',
    ];
    // A variable that is set in the environment is not read from the file.
    writeFileSync(join(cwd, '.env'), [...lines, 'HOST=0.0.0.0#a'].join('\n'));
    const program = { command: [process.execPath, MAIN], cwd, env: {} };
    const gateway = await startGateway({ upstream: await startUpstream(), program });
    expect(gateway.log.filter(({ msg }) => msg === WARNING)).toEqual(
      ['ITWIN_SCOPE', 'JWT_AUDIENCE'].map(
        (variable) => expect.objectContaining({ level: 40, variable }) as unknown,
      ),
    );
    expect(gateway.output).not.toContain('hid-den');
  });

  it('that fails for a missing value says that it was truncated', () => {
    const cwd = temporaryFolder();
    writeFileSync(
      join(cwd, '.env'),
      'ITWIN_CLIENT_ID=id\nITWIN_CLIENT_SECRET=#hid-den\nAUTH=off\nHOST=127.0.0.1',
    );
    const run = spawnSync(process.execPath, [MAIN], { cwd, env: {}, encoding: 'utf8' });
    expect(run.status).toBe(78);
    expect(run.stderr).toContain('ITWIN_CLIENT_SECRET: is required');
    expect(run.stderr).toContain(`ITWIN_CLIENT_SECRET: ${WARNING}`);
    expect(run.stderr).not.toContain('hid-den');
  });
});
