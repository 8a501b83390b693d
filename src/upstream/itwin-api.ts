/**
 * Everything specific to the API. A second API (the newer `/reality-modeling/jobs/{id}`) would be a second file like
 * this one.
 */

/** The path of jobs, upstream and at the gateway. */
export const JOBS_PATH = '/contextcapture/jobs';

/** The media type that the API's documentation recommends. */
export const MEDIA_TYPE = 'application/vnd.bentley.itwin-platform.v1+json';

/** Largest job document, in bytes: 8 MB. */
export const MAX_BODY_BYTES = 8 * 2 ** 20;

/** Detail code of a 401 that a new token cannot solve. */
export const UNKNOWN_CLIENT = 'UnknownClient';

const FINISHED = new Set(['success', 'failed', 'cancelled']);

/** Whether this state is final. Ignores letter case. */
export function isFinished(state: string): boolean {
  return FINISHED.has(state.toLowerCase());
}
