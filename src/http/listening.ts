import { once } from 'node:events';
import { createServer } from 'node:net';

/** Listens at an address for a moment, on any free port. @throws as the server itself would later */
export async function tryHost(host: string): Promise<void> {
  const server = createServer((socket) => {
    socket.destroy();
  }).listen(0, host);
  await once(server, 'listening');
  server.close();
}

/** Which setting is at fault when it cannot be listened, and why; nothing when it is none of them. It holds no value. */
export function faultOfListening(error: unknown): string | undefined {
  const { syscall, code = 'unknown' } = error as NodeJS.ErrnoException;
  if (syscall === 'getaddrinfo') return `HOST: names no address (${code})`;
  if (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT' || code === 'EINVAL')
    return `HOST: is no address of this machine (${code})`;
  return code === 'EACCES' ? `PORT: may not be listened on by this user (${code})` : undefined;
}
