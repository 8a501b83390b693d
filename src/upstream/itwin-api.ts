/**
 * All that the gateway knows of the API it stands in front of, in one place: a second API (the newer
 * `/reality-modeling/jobs/{id}`) would be a second file like this one.
 */

/** The path of a job, upstream's and the gateway's own. */
export const JOBS_PATH = '/contextcapture/jobs';

/** The media type that the documentation recommends to ask for. */
export const MEDIA_TYPE = 'application/vnd.bentley.itwin-platform.v1+json';

/** No longer document is taken: 8 MB, in bytes. */
export const LARGEST_BODY = 8 * 2 ** 20;

/** The detail code of a 401 for which a new token does not help. */
export const UNKNOWN_CLIENT = 'UnknownClient';

const FINISHED = new Set(['success', 'failed', 'cancelled']);

/** Whether a job in this state stays as it is for ever; the letter case does not matter. */
export function isFinished(state: string): boolean {
  return FINISHED.has(state.toLowerCase());
}
