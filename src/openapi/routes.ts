import { exampleJob } from './job-model.ts';
import { errorResponses } from './error-responses.ts';
import { requestFieldRefs, responseFieldRefs } from './fields.ts';

/** The routes of docs/CONTRACT.md, section 1. */

const noKey: readonly object[] = [];
const callerKey = [{ bearer: [] }];

const read = {
  tags: ['Jobs'],
  summary: 'Retrieve job details',
  description:
    'The same path, body and documented statuses as the API behind the gateway. A 200 carries the API’s own bytes.',
  security: callerKey,
  parameters: [
    {
      name: 'id',
      in: 'path',
      required: true,
      description: 'The job id: a UUID in any letter case. Anything else is answered as an unknown job is.',
      schema: { type: 'string' },
      example: exampleJob.job.id,
    },
    ...requestFieldRefs('CorrelationId', 'IfNoneMatch', 'CacheControl', 'Prefer'),
  ],
  responses: {
    200: {
      description: 'The job.',
      headers: responseFieldRefs(
        'ETag',
        'Age',
        'Cache-Control',
        'Cache-Status',
        'RateLimit-Policy',
        'RateLimit',
      ),
      content: {
        'application/json': {
          schema: { $ref: '#/components/schemas/JobResponse' },
          examples: { job: { summary: 'That of the API’s reference page', value: exampleJob } },
        },
      },
    },
    304: {
      description: 'The caller has these bytes already (`If-None-Match`).',
      headers: responseFieldRefs(
        'ETag',
        'Age',
        'Cache-Control',
        'Cache-Status',
        'RateLimit-Policy',
        'RateLimit',
      ),
    },
    ...errorResponses('any', 'callers', 'jobs'),
  },
};

const EVENTS = `event: job
data: {"job":{"id":"${exampleJob.job.id}","state":"active"}}

event: job-error
data: {"error":{"code":"JobNotFound","message":"Requested job is not available."},"id":"58e0c0ca-f730-4e5b-808d-1c8cacacb4d4"}

event: job
data: {"job":{"id":"${exampleJob.job.id}","state":"success"}}

event: end
id: end
data: {}

`;

const events = {
  operationId: 'followJobs',
  tags: ['Jobs'],
  summary: 'Follow up to 100 jobs in one stream',
  description:
    'Server-sent events. `event: job` for every job as soon as it is known, then one at each change; its data is a `JobResponse` on one line. ' +
    '`event: job-error` carries an `ErrorResponse` with the `id` of the job: a 404 ends that job’s part, others do not. `event: end` once every ' +
    'job is finished or gone; then the stream closes. A comment every 15 s keeps it open. A slow reader gets the latest state, not a backlog.',
  security: callerKey,
  parameters: [
    {
      name: 'ids',
      in: 'query',
      required: true,
      description: 'The ids of the jobs, separated by commas; each once, in any letter case.',
      style: 'form',
      explode: false,
      schema: { type: 'array', minItems: 1, maxItems: 100, items: { type: 'string', format: 'uuid' } },
      example: [exampleJob.job.id],
    },
    ...requestFieldRefs('LastEventId', 'CorrelationId'),
  ],
  responses: {
    200: {
      description: 'The stream.',
      headers: responseFieldRefs('Cache-Control'),
      content: { 'text/event-stream': { schema: { type: 'string' }, example: EVENTS } },
    },
    204: {
      description: 'Nothing more to come: the reader has received the end.',
      headers: responseFieldRefs(),
    },
    ...errorResponses('any', 'callers', 'events'),
  },
};

/** A GET route without authentication. */
function open(operation: {
  readonly operationId: string;
  readonly summary: string;
  readonly tag?: string;
  readonly description: string;
  readonly type: string;
  readonly schema?: object;
  readonly further?: object;
}): object {
  const { operationId, summary, tag = 'Pages', description, type, schema = { type: 'string' } } = operation;
  return {
    get: {
      operationId,
      tags: [tag],
      summary,
      security: noKey,
      parameters: requestFieldRefs('CorrelationId'),
      responses: {
        200: { description, headers: responseFieldRefs(), content: { [type]: { schema } } },
        ...operation.further,
        ...errorResponses('any'),
      },
    },
  };
}

const health = { $ref: '#/components/schemas/Health' };
const page = { type: 'text/html' } as const;

const states = {
  operationId: 'followGateway',
  tags: ['Operating'],
  summary: 'Follow the state of the gateway',
  description:
    'The data of the console, for callers marked as operators: server-sent events, `event: state` at once and then every second.',
  security: callerKey,
  parameters: requestFieldRefs('CorrelationId'),
  responses: {
    200: {
      description: 'The stream.',
      headers: responseFieldRefs('Cache-Control'),
      content: { 'text/event-stream': { schema: { type: 'string' } } },
    },
    ...errorResponses('any', 'callers', 'state'),
  },
};

export const paths = {
  '/contextcapture/jobs/{id}': {
    get: { operationId: 'getJob', ...read },
    head: {
      ...read,
      operationId: 'headJob',
      summary: 'Retrieve the head of job details',
      description: 'As `GET`, without the body.',
      responses: Object.fromEntries(
        Object.entries(read.responses).map(([status, answer]) => [status, withoutContent(answer)]),
      ),
    },
  },
  '/contextcapture/jobs/events': { get: events },
  '/health/live': open({
    operationId: 'isLive',
    tag: 'Operating',
    summary: 'Whether the process is alive',
    description: 'Alive.',
    type: 'application/json',
    schema: health,
  }),
  '/health/ready': open({
    operationId: 'isReady',
    tag: 'Operating',
    summary: 'Whether requests should come here',
    description: 'Ready. Parts that the gateway can do without for a while may be `degraded`.',
    type: 'application/json',
    schema: health,
    further: {
      503: {
        description: 'The process is starting or shutting down.',
        headers: responseFieldRefs('Cache-Control'),
        content: { 'application/json': { schema: health } },
      },
    },
  }),
  '/metrics': open({
    operationId: 'scrape',
    tag: 'Operating',
    summary: 'Metrics for Prometheus',
    description: 'Text exposition format.',
    type: 'text/plain',
  }),
  '/openapi.json': open({
    operationId: 'describe',
    summary: 'This description',
    description: 'OpenAPI 3.1.',
    type: 'application/json',
    schema: { type: 'object' },
  }),
  '/docs': open({
    ...page,
    operationId: 'docs',
    summary: 'This description as a page',
    description: 'A page.',
  }),
  '/console': open({
    ...page,
    operationId: 'console',
    summary: 'The live view of the gateway',
    description: 'A page, which loads its data with a caller’s key.',
  }),
  '/console/events': { get: states },
};

function withoutContent(answer: object): object {
  return Object.fromEntries(Object.entries(answer).filter(([name]) => name !== 'content'));
}
