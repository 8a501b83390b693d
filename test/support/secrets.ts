import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { TOKEN_MARK } from '../fake-upstream/tokens.ts';

/** Common prefix of all keys of test callers; tokens of the fake upstream have one too. One search finds them all. */
export const KEY_MARK = 'key-of-a-caller-';
/** Shortest secret: shorter ones occur by chance. */
const SHORTEST = 8;
/** Overlap of searches, in characters: a secret may be split between two chunks. */
const OVERLAP = 2048;

/** Secrets of a gateway, and where they have leaked. */
export class Secrets {
  readonly #values = new Set<string>([KEY_MARK, TOKEN_MARK]);
  readonly #leaks = new Set<string>();

  get size(): number {
    return this.#values.size;
  }

  add(...secrets: readonly string[]): void {
    for (const secret of secrets) if (secret.length >= SHORTEST) this.#values.add(secret);
  }

  /** @param where the text appeared */
  search(where: string, text: string): void {
    for (const secret of this.#values) {
      const at = text.indexOf(secret);
      if (at >= 0) this.#leaks.add(`${where}: …${text.slice(Math.max(0, at - 60), at + secret.length)}`);
    }
  }

  /** @throws when a secret has leaked */
  expectNoLeak(): void {
    if (this.#leaks.size > 0) throw new Error(`a secret has come out\n${[...this.#leaks].join('\n')}`);
  }
}

/** Secrets to search for, by the port of the gateway. */
const searched = new Map<number, Secrets>();
const CONNECTIONS = 'net.client.socket';

/**
 * Searches everything that this process receives from a local port, with any client: answers, errors and events, head
 * and body.
 */
export function searchAnswers(url: string, secrets: Secrets): void {
  if (searched.size === 0) subscribe(CONNECTIONS, follow);
  searched.set(portOf(url), secrets);
}

/** The same for a proxy in front of such a gateway. */
export function searchAnswersThrough(proxyUrl: string, url: string): void {
  const secrets = searched.get(portOf(url));
  if (secrets) searched.set(portOf(proxyUrl), secrets);
}

export function endSearch(secrets: Secrets): void {
  for (const [port, of] of searched) if (of === secrets) searched.delete(port);
  if (searched.size === 0) unsubscribe(CONNECTIONS, follow);
}

/** Searches a text from any running gateway. */
export function searchAll(where: string, text: string): void {
  for (const secrets of new Set(searched.values())) secrets.search(where, text);
}

/** Searches the data of a connection before it reaches the reader. */
function follow(message: unknown): void {
  const { socket } = message as { socket: Socket };
  const push = socket.push.bind(socket);
  let before = '';
  socket.push = (chunk: Buffer | null, encoding) => {
    const secrets = chunk ? searched.get(socket.remotePort ?? 0) : undefined;
    if (chunk && secrets) {
      const text = before + chunk.toString('latin1');
      secrets.search('an answer', text);
      before = text.slice(-OVERLAP);
    }
    return push(chunk, encoding);
  };
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}
