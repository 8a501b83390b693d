import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';

/**
 * `npm run demo`: a fake upstream of the iTwin API and the gateway before it, on the in-memory store, a job on its way from active
 * to success, a line to paste and the console's address. Ctrl-C ends everything.
 */
const GATEWAY = join(import.meta.dirname, '../../dist/main.js');
const say = (text: string): void => void process.stdout.write(`${text}\n`);

const key = `demo-${randomBytes(12).toString('base64url')}`;
const folder = mkdtempSync(join(tmpdir(), 'itwin-jobs-gateway-demo-'));
const upstream = await FakeUpstream.start({
  limits: [{ limit: 500, windowMs: 60_000 }],
  latencyMs: [20, 80],
});
const port = await portOrAnother(Number(process.env['PORT'] ?? 3000));
const gateway = startGateway();

let ending = false;
async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  if (gateway.exitCode === null) {
    gateway.kill('SIGINT');
    await once(gateway, 'exit');
  }
  await upstream.stop();
  rmSync(folder, { recursive: true, force: true });
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void end());
gateway.once('exit', () => void end());

const url = await listening(gateway);
const { id } = upstream.addJob({
  name: 'A bridge, from 2,000 photographs',
  script: [{ state: 'active', forMs: 12_000 }, { state: 'success' }],
});

say(`
The gateway listens on ${url}, with a fake upstream of the iTwin API behind it. Paste this in another terminal:

  curl -i -H 'Authorization: Bearer ${key}' ${url}/contextcapture/jobs/${id}

Or look at ${url}/console with the key ${key}

The job becomes a success in some 12 seconds. Until then, this is what a poll a second sees:
`);
await watch();
say('\nThe job is finished: from now on it is served from memory, without a call. Ctrl-C ends everything.');

/** Polls the job once a second until it is finished. */
async function watch(): Promise<void> {
  for (let finished = false; !finished && !ending;) {
    const response = await fetch(`${url}/contextcapture/jobs/${id}`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const { job } = (await response.json()) as { job: { state: string } };
    const seen = `${response.status}  state ${job.state.padEnd(8)}  age ${response.headers.get('age') ?? '?'} s`;
    say(`  ${seen}  ${response.headers.get('cache-status') ?? ''}  upstream calls so far: ${upstream.count}`);
    finished = job.state === 'success';
    if (!finished) await delay(1000);
  }
}

function startGateway(): ChildProcess {
  const callers = join(folder, 'callers.json');
  const keySha256 = [createHash('sha256').update(key).digest('hex')];
  writeFileSync(
    callers,
    JSON.stringify({ callers: [{ name: 'demo', keySha256, iTwins: ['*'], operator: true }] }),
  );
  return spawn(process.execPath, [GATEWAY], {
    cwd: folder,
    // The environment of whoever runs the demo may hold settings of a real gateway: none of them counts here.
    env: {
      HOST: '127.0.0.1',
      PORT: String(port),
      ITWIN_API_URL: upstream.url,
      ITWIN_TOKEN_URL: upstream.tokenUrl,
      ITWIN_CLIENT_ID: upstream.settings.clientId,
      ITWIN_CLIENT_SECRET: upstream.settings.clientSecret,
      CALLERS_FILE: callers,
      LOG_LEVEL: 'info',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    // Ctrl-C reaches everyone at the terminal: the gateway is ended here, in order.
    detached: true,
  });
}

/** The gateway's address, once it listens. What it logs besides is read and left unsaid. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('exit', () => {
      reject(new Error('the gateway has ended before it listened'));
    });
    if (!child.stdout) return;
    createInterface(child.stdout).on('line', (line) => {
      const { msg, url: address } = JSON.parse(line) as { msg: string; url?: string };
      if (msg === 'listening' && address !== undefined) resolve(address);
    });
  });
}

/** The port that was asked for, or any free one when somebody has it. */
async function portOrAnother(wanted: number): Promise<number> {
  const server = createServer().listen(wanted, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    say(`Port ${wanted} is in use; another one is taken.`);
    return 0;
  }
  const { port: free } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return free;
}
