import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const SCRIPT = join(import.meta.dirname, 'audit.mjs');

/** The result of the audit for an output of npm. */
function audit(said: string): { status: number | null; lines: string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'));
  writeFileSync(join(folder, 'npm'), `#!/bin/sh\ncat <<'END'\n${said}\nEND\nexit 1\n`);
  chmodSync(join(folder, 'npm'), 0o755);
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT], {
    encoding: 'utf8',
    env: { PATH: `${folder}:/usr/bin:/bin` },
  });
  rmSync(folder, { recursive: true });
  return { status, lines: (stdout + stderr).trim().split('\n') };
}

const report = (severity: string): string =>
  JSON.stringify({ auditReportVersion: 2, vulnerabilities: { one: { name: 'one', severity, range: '<2' } } });

describe('the audit', () => {
  it.each([JSON.stringify({ message: '405 Method Not Allowed', error: {} }), 'npm error network', ''])(
    'reports in one line that the registry does not answer, and passes: %s',
    (said) => {
      const { status, lines } = audit(said);
      expect([status, lines.length]).toEqual([0, 1]);
      expect(lines[0]).toContain('not answered by the registry');
    },
  );

  it('fails for what is high, and tells of what is not', () => {
    expect(audit(report('high'))).toEqual({ status: 1, lines: ['npm audit: one <2: high'] });
    expect(audit(report('low')).status).toBe(0);
    expect(audit('{"auditReportVersion":2,"vulnerabilities":{}}').status).toBe(0);
  });
});
