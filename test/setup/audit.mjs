/**
 * Runs `npm audit` for shipped packages. If the registry does not answer it (a mirror, a machine without internet), one
 * line says so and the check passes: that is no fault of the change under test.
 */
import { spawnSync } from 'node:child_process';

const { stdout } = spawnSync('npm audit --omit=dev --json', { shell: true, encoding: 'utf8' });

function parsed() {
  try {
    return JSON.parse(stdout);
  } catch {
    return {};
  }
}

const { auditReportVersion, vulnerabilities = {}, message, error } = parsed();
if (auditReportVersion === undefined) {
  console.log(
    `npm audit: not answered by the registry (${message ?? error?.summary ?? 'no report'}): nothing was checked.`,
  );
} else {
  const found = Object.values(vulnerabilities);
  for (const { name, severity, range, fixAvailable } of found) {
    console.error(`npm audit: ${name} ${range}: ${severity}${fixAvailable ? ', a fix is available' : ''}`);
  }
  if (found.some(({ severity }) => ['high', 'critical'].includes(severity))) process.exitCode = 1;
  else console.log(`npm audit: answered, ${found.length} known and none of them high.`);
}
