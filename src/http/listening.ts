import { once } from 'node:events';
import { createServer } from 'node:net';

/** Listens at an address for a moment, on any free port. @throws the error that the server would meet later */
export async function tryHost(host: string): Promise<void> {
  const server = createServer((socket) => {
    socket.destroy();
  }).listen(0, host);
  await once(server, 'listening');
  server.close();
}

/**
 * Explains a failure to listen by the setting at fault, without its value.
 * @returns nothing if no setting is at fault
 */
export function faultOfListening(error: unknown): string | undefined {
  const { syscall, code = 'unknown' } = error as NodeJS.ErrnoException;
  if (syscall === 'getaddrinfo') return `HOST: names no address (${code})`;
  if (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT' || code === 'EINVAL')
    return `HOST: is no address of this machine (${code})`;
  return code === 'EACCES' ? `PORT: may not be listened on by this user (${code})` : undefined;
}
