import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A line between a browser and a server that can be cut: what runs over it then is lost, what comes later is not. */
export interface Cable {
  readonly url: string;
  cut(): void;
  stop(): Promise<void>;
}

export async function cableTo(target: string): Promise<Cable> {
  const { hostname, port } = new URL(target);
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from.pipe(to));
      from.on('error', () => undefined);
      from.on('close', () => to.destroy());
    }
    near.on('close', () => [near, far].forEach((socket) => open.delete(socket)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => open.forEach((socket) => socket.destroy());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    stop: async () => {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}
