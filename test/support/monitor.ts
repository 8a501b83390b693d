import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { atEnd } from './rig.ts';

/**
 * Reports each command that a Redis receives, with its arguments, including those of scripts. Uses a raw socket,
 * because ioredis mistakes data that arrives with the reply to MONITOR for replies.
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
    const quoted = line.match(/"(?:[^"\\]|\\.)*"/g) ?? [];
    onCommand(quoted.map((text) => text.slice(1, -1)));
  });
}
