import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/*
 * TO BE DELETED when the gateway has GET /contextcapture/jobs/events (contract section 5): the tests then open the
 * console at the gateway's own address.
 *
 * Stands in front of a gateway, hands every request on, and answers that one path itself, by polling the gateway.
 */

const PATH = '/contextcapture/jobs/events';
const POLL_EVERY_MS = 150;
const FINISHED = ['success', 'failed', 'cancelled'];

export interface StandIn {
  readonly url: string;
  stop(): Promise<void>;
}

export async function standBefore(gatewayUrl: string): Promise<StandIn> {
  const server = createServer((incoming, response) => {
    const url = new URL(incoming.url ?? '/', gatewayUrl);
    if (url.pathname !== PATH) return handOn(url, incoming, response);
    const ids = url.searchParams.get('ids')?.split(',') ?? [];
    serveEvents(gatewayUrl, ids, incoming, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function handOn(url: URL, incoming: IncomingMessage, response: ServerResponse): void {
  const { host: _, ...headers } = incoming.headers;
  const outgoing = request(url, { method: incoming.method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  outgoing.on('error', () => response.destroy());
  response.on('close', () => outgoing.destroy());
  incoming.pipe(outgoing);
}

async function serveEvents(
  gatewayUrl: string,
  ids: string[],
  { headers: { authorization = '' } }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': hello\n\n');
  const told = new Map<string, string>();
  for (let open = new Set(ids); open.size > 0 && !response.destroyed;) {
    for (const id of open) {
      const answer = await fetch(`${gatewayUrl}/contextcapture/jobs/${id}`, { headers: { authorization } });
      const document = (await answer.json()) as { job?: { state: string }; error?: object };
      const event = document.job ? 'job' : 'job-error';
      const data = JSON.stringify(document.job ? document : { ...document, id });
      if (told.get(id) !== data) response.write(`event: ${event}\ndata: ${data}\n\n`);
      told.set(id, data);
      if (answer.status === 404 || FINISHED.includes(document.job?.state ?? '')) open.delete(id);
    }
    open = new Set(open);
    await delay(POLL_EVERY_MS);
  }
  response.end('id: end\nevent: end\ndata: {}\n\n');
}
