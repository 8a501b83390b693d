import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FakeUpstreamProcess } from '../../support/fake-upstream-process.ts';
import { Gateway } from '../../support/gateway.ts';
import { MEASURED, pinned } from '../lib/pinned.ts';
import type { Contender } from './contender.ts';

const MAIN = join(import.meta.dirname, '../../../dist/main.js');
const DOCKERFILE = join(import.meta.dirname, '../../../Dockerfile');

/** What the image gives to Node before the program. */
const FLAGS = (
  JSON.parse(/^CMD (\[.*\])$/m.exec(readFileSync(DOCKERFILE, 'utf8'))?.[1] ?? '[]') as string[]
).slice(0, -1);

/**
 * The gateway as it is run, on a core of its own: keys, metrics, the log.
 * @param flags of Node, beside those of the image
 */
export async function startGateway(
  upstream: FakeUpstreamProcess,
  env: Readonly<Record<string, string>> = {},
  { core = MEASURED, flags = [] }: { readonly core?: number; readonly flags?: readonly string[] } = {},
): Promise<Contender & { readonly gateway: Gateway }> {
  const gateway = await Gateway.start({
    upstream,
    env,
    program: {
      command: pinned(core, [process.execPath, ...FLAGS, ...flags, MAIN]),
      cwd: import.meta.dirname,
      env: pathOnly(),
    },
  });
  return {
    name: 'gateway',
    gateway,
    url: gateway.url,
    pid: gateway.pid,
    stop: async () => {
      await gateway.stop();
    },
  };
}

function pathOnly(): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '' };
}
