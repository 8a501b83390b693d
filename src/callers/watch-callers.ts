import { type Stats, type StatWatcher, unwatchFile, watchFile } from 'node:fs';
import { type CallerEntry, CallersFileError, readCallersFile } from './callers-file.ts';

/**
 * How often the file is checked, in milliseconds. Polling the path, unlike events of the file, also notices changes of
 * a mounted Secret, whose path is a link that is replaced.
 */
const CHECK_EVERY_MS = 1000;

export interface CallersWatch {
  readonly onEntries: (entries: CallerEntry[]) => void;
  /** The file has changed and is invalid: the previous callers should stay. */
  readonly onFault: (fault: CallersFileError) => void;
}

/** Reads a callers file again whenever it changes. @returns a function that ends the watch */
export function watchCallers(path: string, { onEntries, onFault }: CallersWatch): () => void {
  const check = (now: Stats, before: Stats): void => {
    // `watchFile` reports a missing file once at the start, where it may be missing.
    if (now.ino === 0 && before.ino === 0) return;
    try {
      onEntries(readCallersFile(path));
    } catch (error) {
      if (!(error instanceof CallersFileError)) throw error;
      onFault(error);
    }
  };
  const watcher: StatWatcher = watchFile(path, { interval: CHECK_EVERY_MS, persistent: false }, check);
  watcher.unref();
  return () => {
    unwatchFile(path, check);
  };
}
