import { check, whole } from './checks.ts';
import { settingsFrom } from './inputs.ts';
import { FakeUpstream } from './fake-upstream.ts';

/** Which environment variable is which setting. One that is empty counts as absent. */
const VARIABLES = {
  clientId: 'FAKE_UPSTREAM_CLIENT_ID',
  clientSecret: 'FAKE_UPSTREAM_CLIENT_SECRET',
  limits: 'FAKE_UPSTREAM_LIMITS',
  windowKind: 'FAKE_UPSTREAM_WINDOW_KIND',
  unknownJobs: 'FAKE_UPSTREAM_UNKNOWN_JOBS',
};

const given = Object.entries(VARIABLES)
  .map(([setting, variable]) => [setting, process.env[variable]])
  .filter(([, value]) => value);
const port = Number(process.env['PORT'] ?? 0);
check(port, whole(0, 65_535), 'PORT');
const upstream = await FakeUpstream.start({
  port,
  ...settingsFrom(Object.fromEntries(given), 'environment'),
});
console.log(JSON.stringify({ msg: 'listening', url: upstream.url, tokenUrl: upstream.tokenUrl }));

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void upstream.stop());
