import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readSample } from './sample.ts';

/** The least that Node can do: the head and the bytes, to whoever asks for whatever; as one string, or with a Buffer beside the head. */
const { headers, bytes } = readSample();
const head = Object.entries(headers).flat();
const text = bytes.toString('latin1');

const server = createServer((_request, response) => {
  response.writeHead(200, head);
  if (process.argv[3] === 'buffer') response.end(bytes);
  else response.end(text, 'latin1');
});
server.keepAliveTimeout = 75_000;
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
