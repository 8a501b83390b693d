import { check, whole } from './checks.ts';
import { settingsFrom } from './inputs.ts';
import { ITwinDouble } from './itwin-double.ts';

/** Which environment variable is which setting. One that is empty counts as absent. */
const VARIABLES = {
  clientId: 'DOUBLE_CLIENT_ID',
  clientSecret: 'DOUBLE_CLIENT_SECRET',
  limits: 'DOUBLE_LIMITS',
  windowKind: 'DOUBLE_WINDOW_KIND',
  unknownJobs: 'DOUBLE_UNKNOWN_JOBS',
};

const given = Object.entries(VARIABLES)
  .map(([setting, variable]) => [setting, process.env[variable]])
  .filter(([, value]) => value);
const port = Number(process.env['PORT'] ?? 0);
check(port, whole(0, 65_535), 'PORT');
const double = await ITwinDouble.start({ port, ...settingsFrom(Object.fromEntries(given), 'environment') });
console.log(JSON.stringify({ msg: 'listening', url: double.url, tokenUrl: double.tokenUrl }));

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void double.stop());
