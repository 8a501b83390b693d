import {
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
} from 'node:http';
import { request as httpsRequest } from 'node:https';

/** What axios takes to make its requests with. */
interface Requester {
  request(options: RequestOptions, onResponse: (response: IncomingMessage) => void): ClientRequest;
}

export interface RequestEvents {
  /** It has been written to its connection, however long it took to have one. */
  readonly onRequestSent: (() => void) | undefined;
  /** It has failed, before its answer or within. */
  readonly onError: (error: Error) => void;
}

/** Node's own requests, which tell what becomes of them. */
export function telling({ onRequestSent, onError }: RequestEvents): Requester {
  return {
    request: (options, onResponse) => {
      const request = options.protocol === 'https:' ? httpsRequest : httpRequest;
      const made = request(options, onResponse).once('error', onError);
      return onRequestSent ? made.once('finish', onRequestSent) : made;
    },
  };
}
