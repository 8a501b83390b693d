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

/** Node's own requests, which tell when one has been written to its connection, however long it took to have one. */
export function telling(onWritten: () => void): Requester {
  return {
    request: (options, onResponse) => {
      const request = options.protocol === 'https:' ? httpsRequest : httpRequest;
      return request(options, onResponse).once('finish', onWritten);
    },
  };
}
