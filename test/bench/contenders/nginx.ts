import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, untilListening } from '../../support/ports.ts';
import { end, startPinned } from '../lib/pinned.ts';
import type { Contender } from './contender.ts';

export interface ProxyOptions {
  /** An empty folder of its own. */
  readonly folder: string;
  readonly upstream: string;
  /** What upstream wants as Authorization: somebody has had the token dance before. */
  readonly authorization: string;
  /** How long an answer is fresh, in seconds. */
  readonly freshSeconds: number;
}

/**
 * nginx as a cache before the API, one worker: one call for all who ask for one key, what is stale is served while it is
 * refreshed in the background and when upstream fails or refuses (ngx_http_proxy_module).
 */
export async function startNginx(options: ProxyOptions): Promise<Contender> {
  const { folder, upstream, authorization, freshSeconds } = options;
  const port = await freePort();
  mkdirSync(join(folder, 'temp'), { recursive: true });
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/temp/${name};`,
  );
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr crit;
     events { worker_connections 4096; }
     http {
       access_log off; keepalive_requests 100000000; keepalive_timeout 75s; ${temporary.join(' ')}
       proxy_cache_path ${folder}/cache keys_zone=jobs:64m max_size=1g inactive=1h use_temp_path=off;
       upstream api { server ${new URL(upstream).host}; keepalive 32; }
       server {
         listen 127.0.0.1:${port};
         location / {
           proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection "";
           proxy_set_header Authorization "${authorization}";
           proxy_cache jobs; proxy_cache_key $uri; proxy_cache_lock on;
           proxy_cache_valid 200 ${freshSeconds}s;
           proxy_ignore_headers Cache-Control Expires Vary;
           proxy_cache_background_update on;
           proxy_cache_use_stale updating error timeout http_429 http_500 http_502 http_503 http_504;
           add_header X-Cache $upstream_cache_status;
         }
       }
     }`,
  );
  const child = startPinned(['nginx', '-p', folder, '-e', 'stderr', '-c', file]);
  await untilListening(port);
  return { name: 'nginx', url: `http://127.0.0.1:${port}`, pid: child.pid ?? 0, stop: () => end(child) };
}
