import { type Stats, type StatWatcher, unwatchFile, watchFile } from 'node:fs';
import { type CallerEntry, CallersFileError, readCallersFile } from './callers-file.ts';

/**
 * How often the file is looked at, in milliseconds. Looking at the path, rather than listening for events of the file, also
 * sees a mounted Secret change: there the path is a link that is swapped.
 */
const LOOK_EVERY_MS = 1000;

export interface CallersWatch {
  readonly onEntries: (entries: CallerEntry[]) => void;
  /** The file has changed and cannot be used: those who were known stay known. */
  readonly onFault: (fault: CallersFileError) => void;
}

/** Reads a callers file again whenever it changes. @returns what ends the watch */
export function watchCallers(path: string, { onEntries, onFault }: CallersWatch): () => void {
  const look = (now: Stats, before: Stats): void => {
    // A file that is not there is told of once at the beginning: it had not to be there.
    if (now.ino === 0 && before.ino === 0) return;
    try {
      onEntries(readCallersFile(path));
    } catch (error) {
      if (!(error instanceof CallersFileError)) throw error;
      onFault(error);
    }
  };
  const watcher: StatWatcher = watchFile(path, { interval: LOOK_EVERY_MS, persistent: false }, look);
  watcher.unref();
  return () => {
    unwatchFile(path, look);
  };
}
