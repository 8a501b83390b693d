import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { TOKEN_MARK } from '../fake-upstream/tokens.ts';

/** How every key of a test caller begins, as every token of a fake upstream begins alike: one search finds whichever it is. */
export const KEY_MARK = 'key-of-a-caller-';
/** What is shorter turns up by chance. */
const SHORTEST = 8;
/** So much of what came before is looked at again, in characters: a secret may come in two parts. */
const OVERLAP = 2048;

/** What a gateway must tell nobody, and where it has all the same. */
export class Secrets {
  readonly #values = new Set<string>([KEY_MARK, TOKEN_MARK]);
  readonly #leaks = new Set<string>();

  get size(): number {
    return this.#values.size;
  }

  add(...secrets: readonly string[]): void {
    for (const secret of secrets) if (secret.length >= SHORTEST) this.#values.add(secret);
  }

  /** @param where it was told */
  search(where: string, text: string): void {
    for (const secret of this.#values) {
      const at = text.indexOf(secret);
      if (at >= 0) this.#leaks.add(`${where}: …${text.slice(Math.max(0, at - 60), at + secret.length)}`);
    }
  }

  /** @throws when something has come out */
  expectNoLeak(): void {
    if (this.#leaks.size > 0) throw new Error(`a secret has come out\n${[...this.#leaks].join('\n')}`);
  }
}

/** Those whose answers are searched, by the port that they listen on. */
const searched = new Map<number, Secrets>();
const CONNECTIONS = 'net.client.socket';

/**
 * Searches all that comes from a port of this machine, whoever in this process reads it and however: answers, errors and
 * events alike, head and body.
 */
export function searchAnswers(url: string, secrets: Secrets): void {
  if (searched.size === 0) subscribe(CONNECTIONS, follow);
  searched.set(portOf(url), secrets);
}

/** The same for who stands in front of one whose answers are searched. */
export function searchAnswersThrough(proxyUrl: string, url: string): void {
  const secrets = searched.get(portOf(url));
  if (secrets) searched.set(portOf(proxyUrl), secrets);
}

export function endSearch(secrets: Secrets): void {
  for (const [port, of] of searched) if (of === secrets) searched.delete(port);
  if (searched.size === 0) unsubscribe(CONNECTIONS, follow);
}

/** Searches something that has come from one of the gateways that run. */
export function searchAll(where: string, text: string): void {
  for (const secrets of new Set(searched.values())) secrets.search(where, text);
}

/** Looks at what a connection brings on its way to whoever reads it. */
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
