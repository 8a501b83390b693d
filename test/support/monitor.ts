import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { atEnd } from './rig.ts';

/**
 * Tells of each command that comes to a Redis, its name and its arguments, those that scripts run included. On a socket of its own:
 * ioredis mistakes what comes together with the answer to MONITOR for answers.
 */
export async function monitorCommands(
  { port }: { readonly port: number },
  onCommand: (command: readonly string[]) => void,
): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  atEnd(async () => socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const lines = createInterface(socket);
  const ready = once(lines, 'line');
  socket.write('MONITOR\r\n');
  await ready;
  lines.on('line', (line) => {
    const words = line.match(/"(?:[^"\\]|\\.)*"/g) ?? [];
    onCommand(words.map((word) => word.slice(1, -1)));
  });
}
