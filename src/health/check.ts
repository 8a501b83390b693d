import { isIPv6 } from 'node:net';
import { environment } from '../config/settings.ts';
import { variables } from '../config/variables.ts';

/** The HEALTHCHECK of the image, run in the environment of the gateway: exits with 0 if `/health/live` answers 2xx. */
const LONGEST_MS = 4000;

const { HOST, PORT } = environment();
const host = HOST || variables.HOST.default;
const port = PORT || variables.PORT.default;

try {
  const answer = await fetch(`http://${addressOf(host)}:${port}/health/live`, {
    signal: AbortSignal.timeout(LONGEST_MS),
  });
  await answer.body?.cancel();
  process.exitCode = answer.ok ? 0 : 1;
} catch {
  process.exitCode = 1;
}

/** A gateway that listens on all addresses is reached on loopback. */
function addressOf(name: string): string {
  if (name === '0.0.0.0') return '127.0.0.1';
  if (name === '::') return '[::1]';
  return isIPv6(name) ? `[${name}]` : name;
}
