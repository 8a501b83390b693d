import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Distance, ProxyOrder } from './delaying-proxy.ts';

/** The process of delaying-proxy.ts, so that the load of a test does not change the delays. */
const [port = '', first = ''] = process.argv.slice(2);
let target = Number(port);
let { roundTripMs, jitterMs = 0 } = JSON.parse(first) as Distance;
const sockets = new Set<Socket>();

function oneWayMs(): number {
  return (roundTripMs + (2 * Math.random() - 1) * jitterMs) / 2;
}

function relay(from: Socket, to: Socket): void {
  sockets.add(from);
  /** Data in transit, in order; separate timers would not keep the order. */
  const queue: { readonly at: number; readonly pass: () => void }[] = [];
  const arrive = (): void => {
    while (queue[0] && queue[0].at <= performance.now()) queue.shift()?.pass();
    if (queue[0]) setTimeout(arrive, Math.max(1, queue[0].at - performance.now()));
  };
  const later = (pass: () => void): void => {
    const at = Math.max(queue.at(-1)?.at ?? 0, performance.now() + oneWayMs());
    if (queue.push({ at, pass }) === 1) setTimeout(arrive, Math.max(1, at - performance.now()));
  };
  from.on('data', (bytes) => {
    later(() => to.write(bytes));
  });
  from.on('close', () => {
    sockets.delete(from);
    later(() => to.destroy());
  });
  from.on('error', () => undefined);
}

const server = createServer({ noDelay: true }, (client) => {
  const behind = connect({ port: target, host: '127.0.0.1', noDelay: true });
  relay(client, behind);
  relay(behind, client);
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));

process.on('message', (order: ProxyOrder) => {
  if ('target' in order) {
    target = order.target;
    for (const socket of sockets) socket.destroy();
  } else ({ roundTripMs, jitterMs = 0 } = order);
});
process.on('disconnect', () => process.exit());
