import { createHash } from 'node:crypto';

/** The iTwin of a job that names none: the one of the API's reference page. */
export const DEFAULT_ITWIN_ID = '3fa85f64-5717-4562-b3fc-2c963f66afa6';

/** Fields of a job that a test may want otherwise than they are made. */
export interface JobFields {
  readonly name?: string;
  readonly type?: string;
  /** null: `"iTwinId": null`; `'none'`: the field is left out. */
  readonly iTwinId?: string | null;
  readonly location?: string;
}

/** From when on a job is in a state, in milliseconds since 1970. */
export interface Moment {
  readonly state: string;
  readonly at: number;
}

const FINISHED = new Set(['success', 'failed', 'cancelled']);

export function isFinished(state: string): boolean {
  return FINISHED.has(state.toLowerCase());
}

/**
 * A job as the API documents it, and as it is met in practice: nulls, seven-digit dates, a field of no documentation, a
 * number and white space that do not survive parsing and writing again. The same id and history give the same bytes.
 * @param history the moments up to now, the first being the creation
 */
export function jobDocument(id: string, fields: JobFields, history: readonly Moment[]): Buffer {
  const created = history[0]?.at ?? 0;
  const { state, at } = history.at(-1) ?? { state: 'unsubmitted', at: created };
  const { name = `Reality Modeling job ${id.slice(0, 8)}`, type = 'Full', location = 'East US' } = fields;
  const { iTwinId = DEFAULT_ITWIN_ID } = fields;
  const execution = executionInformation(history);
  const job = {
    id,
    name,
    type,
    state,
    createdDateTime: date(created),
    lastModifiedDateTime: date(at),
    ...(iTwinId === 'none' ? {} : { iTwinId }),
    location,
    email: 'john.smith@example.com',
    workspaceId: derivedId(id, 'workspace'),
    ...(execution === undefined ? {} : { executionInformation: execution }),
    inputs: [
      { id: derivedId(id, 'images'), description: 'Drone ImageCollection' },
      { id: derivedId(id, 'orientations'), description: 'Drone CCOrientations' },
    ],
    jobSettings: {
      quality: 'Extra',
      outputs: ['OBJ', 'GaussianSplats'].map((format) => ({
        format,
        id: state.toLowerCase() === 'success' ? derivedId(id, format) : null,
      })),
      processingEngines: 5,
      cacheSettings: null,
    },
    costEstimationParameters: { gigaPixels: 2.1, megaPoints: 1.5, meshQuality: 'Extra' },
    estimatedCost: 3.5,
    processingTier: { name: 'standard', pre_emptible: null },
  };
  const text = JSON.stringify({ job }, null, 2);
  return Buffer.from(text.replace('"estimatedCost": 3.5', '"estimatedCost": 3.50'));
}

/** Nothing before submission. */
function executionInformation(history: readonly Moment[]): object | undefined {
  const submitted = history.find(({ state }) => state.toLowerCase() !== 'unsubmitted');
  const current = history.at(-1);
  if (submitted === undefined || current === undefined) return undefined;
  if (current.state.toLowerCase() === 'unsubmitted') return undefined;
  const started = history.find(({ state }) => state.toLowerCase() === 'active');
  const finished = isFinished(current.state);
  return {
    submittedDateTime: date(submitted.at),
    startedDateTime: started === undefined ? null : date(started.at),
    endedDateTime: finished ? date(current.at) : null,
    estimatedUnits: finished ? 0.05 : null,
    errors: current.state.toLowerCase() === 'failed' ? [FAILURE] : null,
    warnings: null,
  };
}

const FAILURE = {
  code: 'NotEnoughOverlap',
  title: 'Not enough overlap',
  message: 'Photo {0} could not be oriented.',
  params: ['DJI_0042.JPG'],
};

/** `2020-09-14T14:29:55.0000000+00:00` */
function date(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '0000+00:00');
}

/** An id that depends on the job's alone. */
function derivedId(id: string, part: string): string {
  const hex = createHash('sha256').update(`${part} ${id}`).digest('hex');
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5');
}
