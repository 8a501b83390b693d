import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, untilListening } from '../../support/ports.ts';
import { end, startPinned } from '../lib/pinned.ts';
import type { Contender } from './contender.ts';
import type { ProxyOptions } from './nginx.ts';

/** How long what is stale is served, in seconds. */
const GRACE_SECONDS = 3600;

/**
 * Varnish before the API: what is stale is served from grace while one call refreshes it, and when upstream fails or refuses
 * (its user guide, "Grace mode and keep"; a refusal is given up in `vcl_backend_response`, so that the stale one stays).
 */
export async function startVarnish(options: ProxyOptions): Promise<Contender> {
  const { folder, upstream, authorization, freshSeconds } = options;
  const port = await freePort();
  const { hostname, port: upstreamPort } = new URL(upstream);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'default.vcl');
  writeFileSync(
    file,
    `vcl 4.1;
     backend api { .host = "${hostname}"; .port = "${upstreamPort}"; }
     sub vcl_recv { unset req.http.Authorization; return (hash); }
     sub vcl_backend_fetch { set bereq.http.Authorization = "${authorization}"; }
     sub vcl_backend_response {
       if (beresp.status == 200) { set beresp.ttl = ${freshSeconds}s; set beresp.grace = ${GRACE_SECONDS}s; }
       elsif (bereq.is_bgfetch) { return (abandon); }
       else { set beresp.uncacheable = true; set beresp.ttl = 0s; }
     }`,
  );
  const child = startPinned([
    ...['varnishd', '-F', '-n', join(folder, 'work'), '-a', `127.0.0.1:${port}`, '-f', file],
    ...['-s', 'malloc,512m', '-p', 'timeout_idle=75', '-p', 'thread_pools=1'],
  ]);
  child.stdout?.resume();
  await untilListening(port);
  return { name: 'Varnish', url: `http://127.0.0.1:${port}`, pid: child.pid ?? 0, stop: () => end(child) };
}
