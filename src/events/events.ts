import { toErrorResponse } from '../errors/error-response.ts';
import type { GatewayError } from '../errors/gateway-error.ts';
import { bytesOf, type JobCopy } from '../upstream/copy.ts';
import { oneLine } from './one-line.ts';

/** The bytes of server-sent events (WHATWG HTML, section 9.2; docs/CONTRACT.md, section 5). */

/** All watchers of a job get the same bytes: they are made once a copy. */
const made = new WeakMap<JobCopy, Buffer>();

export function jobEvent(copy: JobCopy): Buffer {
  const event = made.get(copy) ?? Buffer.concat([JOB, oneLine(bytesOf(copy.body)), END]);
  made.set(copy, event);
  return event;
}

/** The envelope, with the id of the job that it concerns. */
export function errorEvent(jobId: string, error: GatewayError): Buffer {
  const envelope = JSON.parse(toErrorResponse(error).body) as object;
  return Buffer.from(`event: job-error\ndata: ${JSON.stringify({ ...envelope, id: jobId })}\n\n`);
}

/** The last one: who reconnects after it says so, and is told that there is nothing to come. */
export const LAST_EVENT_ID = 'end';
export const endEvent = Buffer.from(`event: end\nid: ${LAST_EVENT_ID}\ndata: {}\n\n`);

/** Keeps the connection from being taken for dead. */
export const comment = Buffer.from(':\n\n');

/** How soon to come again, for a stream that closes before its end. */
export function retryAfter(ms: number): Buffer {
  return Buffer.from(`retry: ${Math.round(ms)}\n\n`);
}

const JOB = Buffer.from('event: job\ndata: ');
const END = Buffer.from('\n\n');
