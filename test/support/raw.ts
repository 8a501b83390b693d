import { once } from 'node:events';
import { connect } from 'node:net';

/** An answer as received from the socket. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends arbitrary bytes, and reads until the answer is complete or the server closes. */
export async function sendRaw(url: string, bytes: string | Buffer): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(bytes);
  let text = '';
  socket.setEncoding('latin1');
  socket.on('error', () => undefined);
  try {
    for await (const chunk of socket) {
      text += String(chunk);
      const whole = parse(text);
      if (whole) return whole;
    }
  } catch (error) {
    const whole = parse(text, true);
    if (!whole) throw error;
    return whole;
  } finally {
    socket.destroy();
  }
  const whole = parse(text, true);
  if (!whole) throw new Error(`no HTTP answer: ${JSON.stringify(text.slice(0, 200))}`);
  return whole;
}

function parse(text: string, ended = false): RawAnswer | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [statusLine = '', ...fields] = text.slice(0, end).split('\r\n');
  const headers = Object.fromEntries(
    fields.map((field) => {
      const colon = field.indexOf(':');
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
    }),
  );
  const body = text.slice(end + 4);
  const length = Number(headers['content-length'] ?? Infinity);
  if (!ended && body.length < length) return undefined;
  return { status: Number(statusLine.split(' ')[1]), headers, body };
}
