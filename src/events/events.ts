import type { GatewayError } from '../errors/gateway-error.ts';
import { serverSentEvent } from '../http/event-stream.ts';
import { bytesOf, type JobCopy } from '../upstream/copy.ts';
import { oneLine } from './one-line.ts';

/** The events of docs/CONTRACT.md, section 5. */

const JOB = Buffer.from('event: job\ndata: ');
const END = Buffer.from('\n\n');

/** All watchers of a job get the same bytes, made once for each copy. */
const jobEvents = new WeakMap<JobCopy, Buffer>();

export function jobEvent(copy: JobCopy): Buffer {
  const event = jobEvents.get(copy) ?? Buffer.concat([JOB, oneLine(bytesOf(copy.body)), END]);
  jobEvents.set(copy, event);
  return event;
}

/** The envelope, with the id of the job that it concerns. */
export function errorEvent(jobId: string, error: GatewayError): Buffer {
  return Buffer.from(serverSentEvent('job-error', JSON.stringify({ error: error.body, id: jobId })));
}

/** The id of the last event: a reader that reconnects after it sends the id, and is told that there is nothing more. */
export const LAST_EVENT_ID = 'end';
export const endEvent = serverSentEvent('end', '{}', LAST_EVENT_ID);

/** Keeps proxies from closing an idle connection. */
export const comment = ':\n\n';

/** When the reader of a stream that closes early should reconnect. */
export function retryAfter(ms: number): string {
  return `retry: ${Math.round(ms)}\n\n`;
}
