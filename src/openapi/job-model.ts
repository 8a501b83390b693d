import { z } from 'zod';
import { jobDocument } from '../upstream/copy.ts';

/**
 * The documented job model of the API's reference page. All of it is open: the gateway passes on what upstream says, so
 * that values and fields newer than the page are as valid as those on it.
 */

/** The values on the reference page, and any other string. */
function oneOf(description: string, values: readonly string[]) {
  return z.union([z.enum(values), z.string()]).meta({ description });
}

const text = (description: string, example?: string) =>
  z.string().meta({ description, ...(example !== undefined && { examples: [example] }) });
const date = (description: string) =>
  z.string().meta({ description, format: 'date-time', examples: ['2020-09-14T14:29:55Z'] });
const number = (description: string, example: number) =>
  z.number().meta({ description, examples: [example] });

const JobType = oneOf('Job type.', ['Full', 'Calibration', 'Reconstruction']);
const JobState = oneOf(
  'Job current state. A job that is `success`, `failed` or `cancelled` (in any letter case) is finished and stays as it is.',
  ['unsubmitted', 'active', 'success', 'failed', 'cancelled'],
);
const JobLocation = oneOf('Datacenter location of the job.', [
  ...['East US', 'North Europe', 'Southeast Asia', 'Australia East', 'UK South', 'Japan East'],
]);
const JobQuality = oneOf('Job quality.', ['Draft', 'Medium', 'Extra']);
const OutputFormat = oneOf('Output format.', [
  ...['CCOrientations', '3MX', '3SM', 'WebReady ScalableMesh', 'Cesium 3D Tiles', 'POD', 'Orthophoto/DSM'],
  ...['LAS', 'FBX', 'OBJ', 'ESRI i3s', 'DGN', 'LODTreeExport', 'PLY', 'OPC', 'OMR', 'ContextScene'],
]);

const CostEstimationParameters = z
  .looseObject({
    gigaPixels: number('Gigapixels to be processed.', 2.1).nullish(),
    megaPoints: number('Megapoints to be processed.', 1.5).nullish(),
    meshQuality: JobQuality.nullish(),
  })
  .meta({ description: 'Parameters to be used to estimate the cost of the job.' });

const JobInput = z
  .looseObject({
    id: text('Context Share reality data id of the input.', '58e0c0ca-f730-4e5b-808d-1c8cacacb4d4').nullish(),
    description: text('Description of the input.', 'Drone ImageCollection').nullish(),
  })
  .meta({ description: 'Description of an input for a job.' });

const CacheSettings = z
  .looseObject({
    createCache: z.boolean().nullish().meta({ description: 'Indicate if the job will produce a cache.' }),
    useCache: text('Id of the previous job cache to be reused.').nullish(),
  })
  .meta({ description: 'Describe how a job will use and create cache.' });

const JobMessage = z
  .looseObject({
    code: text('Error or warning message code.').nullish(),
    title: text('Error or warning message title.').nullish(),
    message: text('Error or warning message.').nullish(),
    params: z.array(z.unknown()).nullish().meta({ description: 'Error or warning message parameters.' }),
  })
  .meta({ description: 'Model for error and warning messages of a job.' });

const ExecutionInformation = z
  .looseObject({
    submittedDateTime: date('Submission time of the job.').nullish(),
    startedDateTime: date('Start time of the job.').nullish(),
    endedDateTime: date('End time of the job.').nullish(),
    estimatedUnits: number('Estimated processing units cost.', 0.05).nullish(),
    errors: z
      .array(JobMessage)
      .nullish()
      .meta({ description: 'Errors, if any produced when processing the job.' }),
    warnings: z
      .array(JobMessage)
      .nullish()
      .meta({ description: 'Warnings, if any produced when processing the job.' }),
  })
  .meta({ description: 'Execution information relative to a job.' });

const JobOutput = z
  .looseObject({
    format: OutputFormat.nullish(),
    id: text('Reality Data Id of the output.').nullish(),
  })
  .meta({ description: 'Job output information.' });

const JobSettings = z
  .looseObject({
    quality: JobQuality.nullish(),
    processingEngines: z
      .int()
      .nullish()
      .meta({ description: 'Maximum usable engines for the job.', examples: [5] }),
    outputs: z.array(JobOutput).nullish().meta({ description: 'List of outputs of the job.' }),
    cacheSettings: CacheSettings.nullish(),
  })
  .meta({ description: 'High-level job settings.' });

/** What the gateway itself reads of a job, and the page's names for the rest. */
const Job = jobDocument.shape.job
  .extend({
    id: text('Job unique id.', 'cc3d35cc-416a-4262-9714-b359da70b419').optional(),
    name: text('Job name.', 'My first Reality Modeling job').optional(),
    type: JobType.optional(),
    state: JobState.optional(),
    createdDateTime: date('Creation time of the job.').optional(),
    lastModifiedDateTime: date('Last modification date of the job.').optional(),
    location: JobLocation.optional(),
    iTwinId: text('Project id.', '3fa85f64-5717-4562-b3fc-2c963f66afa6').nullish(),
    workspaceId: text('Workspace id relative to the job.').optional(),
    email: text('User email address.', 'john.smith@example.com').optional(),
    executionInformation: ExecutionInformation.nullish(),
    inputs: z.array(JobInput).nullish().meta({ description: 'List of inputs for the job.' }),
    jobSettings: JobSettings.nullish(),
    costEstimationParameters: CostEstimationParameters.nullish(),
    estimatedCost: number('Estimated cost of the job using the costEstimationParameters.', 3.5).nullish(),
  })
  .meta({
    description:
      'Job information. The API’s own description calls `id`, `name`, `type`, `state`, both dates, `location`, `workspaceId`, `email`, ' +
      '`inputs` and `jobSettings` always present; the gateway passes on what it is given.',
  });

const JobResponse = jobDocument
  .extend({ job: Job })
  .meta({ description: 'Complete job details, byte for byte as the API sent them.' });

/** By the names under which the document has them. */
export const jobModels = {
  JobResponse,
  Job,
  JobType,
  JobState,
  JobLocation,
  JobSettings,
  JobQuality,
  JobOutput,
  OutputFormat,
  CacheSettings,
  JobInput,
  ExecutionInformation,
  JobMessage,
  CostEstimationParameters,
};

/** The example of the reference page. */
export const exampleJob = {
  job: {
    id: 'cc3d35cc-416a-4262-9714-b359da70b419',
    name: 'My first Reality Modeling job',
    type: 'Full',
    state: 'success',
    createdDateTime: '2020-09-14T14:29:55Z',
    lastModifiedDateTime: '2020-09-14T14:29:55Z',
    iTwinId: '3fa85f64-5717-4562-b3fc-2c963f66afa6',
    location: 'East US',
    email: 'john.smith@example.com',
    workspaceId: '6881117d-9fd2-4900-870b-9b721dc90f25',
    executionInformation: {
      submittedDateTime: '2020-09-14T14:34:20Z',
      startedDateTime: '2020-09-14T14:34:28Z',
      endedDateTime: '2020-09-14T14:41:49Z',
      estimatedUnits: 0.05,
    },
    inputs: [
      { id: '58e0c0ca-f730-4e5b-808d-1c8cacacb4d4', description: 'Drone ImageCollection' },
      { id: 'dc65ce7d-2598-422f-97a5-5ae8eb004b67', description: 'Drone CCOrientations' },
    ],
    jobSettings: {
      quality: 'Extra',
      outputs: [
        { format: 'OBJ', id: '3ddee08c-01e8-44a5-8e56-3879109f6728' },
        { format: '3MX', id: 'f18fc6c3-2224-4d63-a04b-52bd18805d01' },
      ],
      processingEngines: 5,
      cacheSettings: { createCache: true, useCache: '799b11bd-71cf-481a-b284-bf48f672cd9a' },
    },
    costEstimationParameters: { gigaPixels: 2.1, megaPoints: 1.5, meshQuality: 'Extra' },
    estimatedCost: 3.5,
  },
} as const;
