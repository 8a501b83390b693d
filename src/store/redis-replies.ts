import * as dataHandler from 'ioredis/built/DataHandler.js';

/** The used part of ioredis' internal reply reader. */
interface ReplyReader {
  dispatch(handle: () => void): void;
  returnFatalError(error: unknown): void;
}

/**
 * Turns an unexpected or malformed reply into an error of its connection. ioredis throws it as an uncaught exception,
 * which ends the process: a nil without a command did that. The reader is internal to ioredis, hence the check.
 */
function containReplyErrors(): void {
  const reader = dataHandler.default.default.prototype as unknown as ReplyReader;
  if (typeof reader.dispatch !== 'function' || typeof reader.returnFatalError !== 'function')
    throw new Error('this version of ioredis has another reply reader');
  reader.dispatch = function (handle) {
    try {
      handle();
    } catch (error) {
      this.returnFatalError(error);
    }
  };
}

containReplyErrors();
