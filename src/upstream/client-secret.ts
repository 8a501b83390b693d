import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';

/**
 * Interval of checks for a changed file, in milliseconds. By path, because Kubernetes replaces a link to a mounted
 * Secret.
 */
const CHECK_INTERVAL_MS = 1000;

/**
 * The current secret of the service client. A mounted file is read for each token request, a few times an hour, so that
 * no request uses a replaced secret.
 */
export class ClientSecret {
  #value: string;

  /**
   * @param value the secret at startup
   * @param path its file, if it comes from one
   */
  constructor(
    value: string,
    private readonly path: string | undefined,
  ) {
    this.#value = value;
  }

  /** Never rejects: while the file is missing or empty, because it is being replaced, returns the former secret. */
  async read(): Promise<string> {
    const text = this.path === undefined ? '' : await readFile(this.path, 'utf8').catch(() => '');
    this.#value = text.trim() || this.#value;
    return this.#value;
  }

  /** Calls back when the secret in the file differs from the one last read. @returns stops watching */
  watch(onChange: () => void): () => void {
    const { path } = this;
    if (path === undefined) return () => undefined;
    const check = (): void => {
      const before = this.#value;
      void this.read().then((now) => {
        if (now !== before) onChange();
      });
    };
    watchFile(path, { interval: CHECK_INTERVAL_MS, persistent: false }, check).unref();
    return () => {
      unwatchFile(path, check);
    };
  }
}
