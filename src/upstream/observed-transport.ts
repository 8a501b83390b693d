import {
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
} from 'node:http';
import { request as httpsRequest } from 'node:https';

/** The `transport` option of axios. */
interface RequestFactory {
  request(options: RequestOptions, onResponse: (response: IncomingMessage) => void): ClientRequest;
}

export interface RequestEvents {
  /** The request has been written to its connection, which may have been established first. */
  readonly onRequestSent: (() => void) | undefined;
  /** The request has failed, before or during its response. */
  readonly onError: (error: Error) => void;
}

/** Node's own requests, with callbacks for their progress. */
export function observedTransport({ onRequestSent, onError }: RequestEvents): RequestFactory {
  return {
    request: (options, onResponse) => {
      const request = options.protocol === 'https:' ? httpsRequest : httpRequest;
      const sent = request(options, onResponse).once('error', onError);
      return onRequestSent ? sent.once('finish', onRequestSent) : sent;
    },
  };
}
