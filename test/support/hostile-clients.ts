import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * `node hostile-clients.ts {url} {job path}`: a separate process, so that it disturbs only the server. Slow senders
 * hold connections with requests sent byte by byte; a header bomb sends too large request heads.
 */
const [url = '', path = ''] = process.argv.slice(2);
const { hostname, port } = new URL(url);

const SLOW_SENDERS = 500;
const BYTE_EVERY_MS = 500;
const HEAD = `GET ${path} HTTP/1.1\r\nHost: a\r\n`;
/** Numbers of slow heads and slow bodies. */
const SLOW = [`${HEAD}X-Slow: `, `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n`];
/** 64 KiB. Larger ones are refused equally early, and would only load this process. */
const BOMB = HEAD + Array.from({ length: 64 }, (_, field) => `X-${field}: ${'a'.repeat(1000)}\r\n`).join('');
const BOMB_EVERY_MS = 20;

const counts = { slow: 0, bombs: 0, closed: 0 };

function open(): Socket {
  return connect(Number(port), hostname)
    .on('error', () => undefined)
    .on('close', () => counts.closed++)
    .resume();
}

/** Reconnects whenever it is closed. */
async function sendSlowly(index: number): Promise<never> {
  for (;;) {
    await delay((index * BYTE_EVERY_MS) / SLOW_SENDERS);
    const socket = open();
    counts.slow++;
    socket.write(SLOW[index % SLOW.length] ?? '');
    while (!socket.destroyed) {
      socket.write('a');
      await delay(BYTE_EVERY_MS);
    }
  }
}

async function bomb(): Promise<never> {
  for (;;) {
    const socket = open();
    counts.bombs++;
    socket.end(BOMB);
    await new Promise((resolve) => socket.once('close', resolve));
    await delay(BOMB_EVERY_MS);
  }
}

for (let index = 0; index < SLOW_SENDERS; index++) void sendSlowly(index);
void bomb();
setInterval(() => process.stdout.write(`${JSON.stringify(counts)}\n`), 500);
