import * as dataHandler from 'ioredis/built/DataHandler.js';

/** What is used of ioredis' own reader of replies. */
interface ReplyReader {
  dispatch(take: () => void): void;
  returnFatalError(error: unknown): void;
}

/**
 * Makes a reply that nobody asked for, or that has another form than its command's, a fault of that connection. ioredis throws what
 * comes of it from a tick of its own, where nothing but the process' end can take it: a nil without a command did that. Its reader
 * is no part of its interface, hence the check.
 */
function containFaultsOfReplies(): void {
  const reader = dataHandler.default.default.prototype as unknown as ReplyReader;
  if (typeof reader.dispatch !== 'function' || typeof reader.returnFatalError !== 'function')
    throw new Error('ioredis reads replies in another way than expected');
  reader.dispatch = function (take) {
    try {
      take();
    } catch (error) {
      this.returnFatalError(error);
    }
  };
}

containFaultsOfReplies();
