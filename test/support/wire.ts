import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { AnyAnswer } from './error-answer.ts';

/** The answers of one connection. */
export interface Conversation {
  /** Final answers, without status 1xx. */
  readonly answers: readonly AnyAnswer[];
  readonly interim: readonly AnyAnswer[];
  /** Time from the first byte sent to the last answer, in milliseconds. */
  readonly tookMs: number;
}

/** Opens a connection to a server. */
export async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Sends bytes over a new connection, and reads until a number of answers is complete or the server closes. */
export async function converse(url: string, bytes: string | Buffer, count = 1): Promise<Conversation> {
  const socket = await open(url);
  const { promise, resolve, reject } = Promise.withResolvers<Conversation>();
  const since = performance.now();
  let text = '';
  const look = (ended: boolean): void => {
    try {
      const answers = parse(text);
      const final = answers.filter(({ status }) => status >= 200);
      if (!ended && final.length < count) return;
      const interim = answers.filter(({ status }) => status < 200);
      resolve({ answers: final, interim, tookMs: performance.now() - since });
    } catch (error) {
      reject(error);
    }
  };
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => {
    text += String(chunk);
    look(false);
  });
  socket.on('close', () => look(true));
  socket.write(bytes);
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

/** Sends bytes that get exactly one answer. */
export async function answerTo(url: string, bytes: string | Buffer): Promise<AnyAnswer> {
  const [answer] = (await converse(url, bytes)).answers;
  if (!answer) throw new Error(`no answer to ${JSON.stringify(String(bytes).slice(0, 300))}`);
  return answer;
}

/** Parses the complete answers at the beginning of a text. All have a Content-Length. */
function parse(text: string): AnyAnswer[] {
  const answers: AnyAnswer[] = [];
  let rest = text;
  for (let end = rest.indexOf('\r\n\r\n'); end >= 0; end = rest.indexOf('\r\n\r\n')) {
    const [statusLine = '', ...fields] = rest.slice(0, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]);
    if (Number.isNaN(status)) throw new Error(`no HTTP answer: ${JSON.stringify(rest.slice(0, 200))}`);
    const headers = Object.fromEntries(fields.map(field));
    const length = Number(headers['content-length'] ?? 0);
    const body = rest.slice(end + 4, end + 4 + length);
    if (body.length < length) break;
    answers.push({ status, headers, text: body });
    rest = rest.slice(end + 4 + length);
  }
  return answers;
}

function field(line: string): [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
