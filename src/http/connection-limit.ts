import type { Server } from 'node:http';

/** How often it is said that connections are turned away, in milliseconds. */
const SAY_EVERY_MS = 10_000;

/** Where it is told. */
interface FullLog {
  warn(details: { refused: number; limit: number }, message: string): void;
}

/**
 * Bounds the connections that are open at a time. What comes beyond is closed at once, without a word: there is no request yet
 * that could be answered, and whoever opens that many reads no answer.
 */
export function limitConnections(server: Server, limit: number, log: FullLog): void {
  let refused = 0;
  let saidAt = -Infinity;
  server.maxConnections = limit;
  server.on('drop', () => {
    refused++;
    if (performance.now() - saidAt < SAY_EVERY_MS) return;
    saidAt = performance.now();
    log.warn({ refused, limit }, 'connections refused');
    refused = 0;
  });
}
