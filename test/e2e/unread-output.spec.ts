import { spawn } from 'node:child_process';
import { Agent, get } from 'node:http';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it, jest } from '@jest/globals';
import type { Gateway } from '../support/gateway.ts';
import { metric, readJob } from '../support/reads.ts';
import { freePort, untilListening } from '../support/ports.ts';
import { atEnd, startUpstream, startGateway, temporaryFolder } from '../support/rig.ts';

jest.setTimeout(180_000);

const LOG = join(import.meta.dirname, '../../dist/log.js');
const MAIN = join(import.meta.dirname, '../../dist/main.js');
const MIB = 2 ** 20;
/** Refused reads, each of which logs half a KiB. */
const READS = 20_000;
const AT_A_TIME = 32;

/** Makes the gateway log lines. */
async function makeLines(gateway: Gateway, reads = READS): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME });
  const headers = { authorization: 'Bearer nobody', 'x-correlation-id': 'x'.repeat(128) };
  const url = `${gateway.url}/contextcapture/jobs/0b9c52de-0000-4000-8000-000000000000`;
  let left = reads;
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      get(url, { agent, headers }, (response) => response.resume().once('end', resolve)).once(
        'error',
        reject,
      );
    });
  const worker = async (): Promise<void> => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  agent.destroy();
}

describe('standard output that nobody reads', () => {
  it('blocks no read and uses bounded memory; dropped lines are counted, and logged once it is read again', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    const gateway = await startGateway({ upstream });
    const residentMemory = () => metric(gateway, 'process_resident_memory_bytes');
    const dropped = () => metric(gateway, 'gateway_log_lines_dropped_total');
    await makeLines(gateway);
    expect(await dropped()).toBe(0);
    const before = await residentMemory();

    gateway.readOutput(false);
    await makeLines(gateway);
    await makeLines(gateway);
    const lines = await dropped();
    expect(lines).toBeGreaterThan(READS);
    expect((await residentMemory()) - before).toBeLessThan(100 * MIB);
    expect((await readJob(gateway, id)).status).toBe(200);

    gateway.readOutput(true);
    const said = await gateway.logged(({ msg }) => msg?.startsWith('log lines dropped') ?? false);
    expect(Number(said['lines'])).toBeGreaterThanOrEqual(lines);
    await readJob(gateway, id, { headers: { authorization: 'Bearer nobody', 'x-correlation-id': 'after' } });
    await gateway.logged(({ correlationId }) => correlationId === 'after');
  });

  it('uses bounded memory however much is logged', async () => {
    const script = `
      const { createLog } = await import(process.argv[1]);
      let dropped = 0;
      const log = createLog('info', () => dropped++);
      gc();
      const before = process.memoryUsage().heapUsed;
      for (let line = 0; line < 4000; line++) {
        log.info({ text: 'x'.repeat(50_000) }, 'a long line');
        if (line % 50 === 0) await new Promise(setImmediate);
      }
      gc();
      process.stderr.write(JSON.stringify({ grownBy: process.memoryUsage().heapUsed - before, dropped }));
      process.exit(0);`;
    const args = ['--expose-gc', '--input-type=module', '--eval', script, LOG];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const { grownBy, dropped } = JSON.parse(await text(child.stderr)) as Record<string, number>;
    child.stdout.resume();
    expect(dropped).toBeGreaterThan(3000);
    expect(grownBy).toBeLessThan(32 * MIB);
  });

  it('does not delay the end of the process', async () => {
    const upstream = await startUpstream();
    const gateway = await startGateway({ upstream });
    gateway.readOutput(false);
    await makeLines(gateway);
    expect(await metric(gateway, 'gateway_log_lines_dropped_total')).toBeGreaterThan(0);
    gateway.signal('SIGTERM');
    expect(await gateway.exited).toBe(0);
  });

  it('can also be a full disk', async () => {
    const port = await freePort();
    const { PATH = '' } = process.env;
    const env = { PATH, HOST: '127.0.0.1', PORT: String(port), AUTH: 'off', DRAIN_DELAY: '0ms' };
    const nowhere = { ITWIN_API_URL: 'http://127.0.0.1:1', ITWIN_TOKEN_URL: 'http://127.0.0.1:1' };
    const client = { ITWIN_CLIENT_ID: 'id', ITWIN_CLIENT_SECRET: 'secret' };
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [MAIN], {
      cwd: temporaryFolder(),
      env: { ...env, ...nowhere, ...client },
      stdio: ['ignore', full, 'ignore'],
    });
    closeSync(full);
    atEnd(async () => child.kill('SIGKILL'));
    const exited = once(child, 'exit');
    await untilListening(port);
    const url = `http://127.0.0.1:${port}/contextcapture/jobs/0b9c52de-0000-4000-8000-000000000000`;
    const { status } = await fetch(url);
    expect(status).toBe(503);
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });
});
