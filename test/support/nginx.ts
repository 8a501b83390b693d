import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { freePort, untilListening } from './ports.ts';
import { atEnd, temporaryFolder } from './rig.ts';
import { searchAnswersThrough } from './secrets.ts';

/** Starts nginx in front of a server like an ingress, with its default buffering. @returns its URL */
export async function startNginx(url: string): Promise<string> {
  const [folder, port] = [temporaryFolder(), await freePort()];
  mkdirSync(join(folder, 'temp'));
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path temp/${name};`,
  );
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; master_process off; pid nginx.pid; error_log stderr crit;
     events {}
     http {
       access_log off; ${paths.join(' ')}
       server { listen 127.0.0.1:${port}; location / { proxy_pass ${url}; } }
     }`,
  );
  // Debian installs it outside of a normal user's PATH.
  const PATH = [process.env['PATH'], '/usr/sbin'].join(delimiter);
  const nginx = spawn('nginx', ['-p', folder, '-e', 'stderr', '-c', file], {
    env: { PATH },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(nginx, 'exit');
  atEnd(async () => {
    nginx.kill('SIGKILL');
    await exited;
  });
  await untilListening(port);
  searchAnswersThrough(`http://127.0.0.1:${port}`, url);
  return `http://127.0.0.1:${port}`;
}
