import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Distance, ProxyOrder } from './delaying-proxy.ts';

/** The proxy of delaying-proxy.ts, as a process of its own: how busy a test is does not change the delays. */
const [target = '', first = ''] = process.argv.slice(2);
let { roundTripMs, jitterMs = 0 } = JSON.parse(first) as Distance;
const sockets = new Set<Socket>();

function oneWayMs(): number {
  return (roundTripMs + (2 * Math.random() - 1) * jitterMs) / 2;
}

function relay(from: Socket, to: Socket): void {
  sockets.add(from);
  /** When what came before arrives: nothing overtakes it. */
  let arrivesAt = 0;
  const later = (pass: () => void): void => {
    arrivesAt = Math.max(arrivesAt, performance.now() + oneWayMs());
    setTimeout(pass, arrivesAt - performance.now());
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
  const behind = connect({ port: Number(target), host: '127.0.0.1', noDelay: true });
  relay(client, behind);
  relay(behind, client);
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));

process.on('message', (order: ProxyOrder) => {
  if (order === 'cut') for (const socket of sockets) socket.destroy();
  else ({ roundTripMs, jitterMs = 0 } = order);
});
process.on('disconnect', () => process.exit());
