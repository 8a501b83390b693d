import type { Server } from 'node:http';

/** How often refused connections are logged, in milliseconds. */
const LOG_EVERY_MS = 10_000;

interface ConnectionsLog {
  warn(details: { refused: number; limit: number }, message: string): void;
}

/**
 * Bounds the number of open connections. Further ones are closed at once and without a response: there is no request
 * yet to respond to.
 */
export function limitConnections(server: Server, limit: number, log: ConnectionsLog): void {
  let refused = 0;
  let loggedAt = -Infinity;
  server.maxConnections = limit;
  server.on('drop', () => {
    refused++;
    if (performance.now() - loggedAt < LOG_EVERY_MS) return;
    loggedAt = performance.now();
    log.warn({ refused, limit }, 'connections refused');
    refused = 0;
  });
}
