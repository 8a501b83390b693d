import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** How often it is looked whether the file has changed, in milliseconds; at the path, for a mounted Secret is a link that is swapped. */
const LOOK_EVERY_MS = 1000;

/**
 * The secret of the service client as it is now. One that is mounted as a file is read for each request for a token, a few times an
 * hour: no request is made with one that has been replaced.
 */
export class ClientSecret {
  #value: string;

  /**
   * @param value as it was at the start
   * @param path of its file; nothing when it is not from one
   */
  constructor(
    value: string,
    private readonly path: string | undefined,
  ) {
    this.#value = value;
  }

  /** Never rejects: while the file is away or empty, because it is just being replaced, the secret is the one before. */
  async read(): Promise<string> {
    const text = this.path === undefined ? '' : await readFile(this.path, 'utf8').catch(() => '');
    this.#value = text.trim() || this.#value;
    return this.#value;
  }

  /** Tells when the file says something else than what was last read. @returns what ends the watch */
  watch(onChange: () => void): () => void {
    const { path } = this;
    if (path === undefined) return () => undefined;
    const look = (): void => {
      const before = this.#value;
      void this.read().then((now) => {
        if (now !== before) onChange();
      });
    };
    watchFile(path, { interval: LOOK_EVERY_MS, persistent: false }, look).unref();
    return () => {
      unwatchFile(path, look);
    };
  }
}
