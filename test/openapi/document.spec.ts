import { describe, expect, it } from '@jest/globals';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { pino } from 'pino';
import { createApp } from '../../src/app.ts';
import { loadSettings } from '../../src/config/settings.ts';
import { alsoAs, type ErrorCode, errorTable, relayed } from '../../src/errors/gateway-error.ts';
import { Lifecycle } from '../../src/lifecycle.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import { openApiDocument } from '../../src/openapi/document.ts';
import { schemaCheck } from '../support/schema-check.ts';

interface Operation {
  readonly responses: Record<string, { content?: Record<string, { examples?: Record<string, unknown> }> }>;
}

const document = openApiDocument('1.2.3');
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, ...(operation as Operation) })),
);
/** `status code` of every error that a route is said to answer. */
const errorsOf = ({ responses }: Operation): string[] =>
  Object.entries(responses).flatMap(([status, { content }]) =>
    Object.keys(content?.['application/json']?.examples ?? {})
      .filter((code) => code !== 'job')
      .map((code) => `${status} ${code}`),
  );

describe('the OpenAPI document', () => {
  it('is valid, and a linter finds nothing', async () => {
    const config = await createConfig({
      extends: ['recommended-strict'],
      rules: {
        // The package is nobody's to use yet.
        'info-license': 'off',
        // Schemas are open: what is not named in one may be there, in an example as well.
        'no-invalid-media-type-examples': { severity: 'error', allowAdditionalProperties: true },
      },
    });
    const problems = await lintFromString({ source: JSON.stringify(document), config });
    expect(problems.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual(
      [],
    );
    const { summary: _, ...untitled } = document.paths['/metrics'] as Record<string, unknown>;
    const broken = { ...document, paths: { '/metrics': { ...untitled, get: { responses: {} } } } };
    expect(await lintFromString({ source: JSON.stringify(broken), config })).not.toEqual([]);
  });

  it('documents exactly the errors of the table, with their statuses', () => {
    const codes = Object.keys(errorTable) as ErrorCode[];
    const expected = [
      ...codes.flatMap((code) =>
        [errorTable[code][0], ...(alsoAs[code] ?? [])].map((status) => `${status} ${code}`),
      ),
      ...Object.entries(relayed).map(([status, { code }]) => `${status} ${code}`),
    ];
    const named = new Set(operations.flatMap(errorsOf));
    expect([...named].sort()).toEqual([...new Set(expected)].sort());
  });

  it('documents for each route the errors that it can have: 401 with authentication, upstream’s with calls', () => {
    const errors = Object.fromEntries(
      operations.map((operation) => [`${operation.method} ${operation.path}`, errorsOf(operation)]),
    );
    expect(errors['get /contextcapture/jobs/{id}']).toEqual(
      expect.arrayContaining([
        '401 HeaderNotFound',
        '404 JobNotFound',
        '422 InvalidContextCaptureRequest',
        '504 NotCached',
      ]),
    );
    expect(errors['get /contextcapture/jobs/events']).toEqual(
      expect.arrayContaining(['400 InvalidRequest', '401 Unauthorized', '429 TooManyRequests']),
    );
    expect(errors['get /metrics']?.join()).not.toMatch(/401|502/);
    expect(errors['head /contextcapture/jobs/{id}']).toEqual([]);
  });

  it('has exactly the routes of the gateway', async () => {
    const env = { ITWIN_CLIENT_ID: 'id', ITWIN_CLIENT_SECRET: 'secret', AUTH: 'off', HOST: '127.0.0.1' };
    const app = await createApp({
      settings: loadSettings(env),
      log: pino({ level: 'silent' }),
      lifecycle: new Lifecycle(),
      metrics: new Metrics(),
    });
    await app.init();
    const fastify = app.getHttpAdapter().getInstance();
    const served = routesIn(fastify.printRoutes({ commonPrefix: false }))
      // What the pages load is the pages' own business.
      .filter((path) => !path.endsWith('/{file}'));
    await app.close();
    expect(served.sort()).toEqual(Object.keys(document.paths).sort());
  });
});

/** The paths with a GET in Fastify's drawing of its routes. */
function routesIn(drawing: string): string[] {
  const above: string[] = [];
  const paths = drawing.split('\n').flatMap((line) => {
    const [, indent, name, methods] = /^([│ ├└─]*)(\S+)(?: \((.+)\))?$/.exec(line) ?? [];
    if (indent === undefined || name === undefined) return [];
    const depth = indent.length / 4;
    above.splice(depth - 1, Infinity, name);
    return methods?.includes('GET') ? [above.join('').replace(/:(\w+)/g, '{$1}')] : [];
  });
  return [...new Set(paths)];
}

describe('the job model', () => {
  const job = schemaCheck(document, '#/components/schemas/JobResponse');

  it('accepts newer documents: states, formats, fields, dates, nulls', () => {
    expect(
      job({
        job: {
          id: '1',
          state: 'TerminatingOnCancel',
          type: 'Splat',
          location: 'Mars North',
          createdDateTime: '2020-09-14T14:29:55.0000000+00:00',
          iTwinId: null,
          jobSettings: { outputs: [{ format: 'GaussianSplats', id: null }], cacheSettings: null, news: 1 },
          executionInformation: {
            startedDateTime: null,
            errors: null,
            warnings: [{ code: 'W', params: [1, 'b'] }],
          },
          processingTier: { name: 'standard' },
        },
        meta: {},
      }),
    ).toEqual([]);
    expect(job({ job: {} })).toEqual([]);
  });

  it('refuses documents that are not jobs, and fields of another type', () => {
    expect(job({})).not.toEqual([]);
    expect(job({ job: 'none' })).not.toEqual([]);
    expect(job({ job: { state: 7 } })).not.toEqual([]);
    expect(job({ job: { jobSettings: { outputs: [{ format: {} }] } } })).not.toEqual([]);
  });

  it('has every model and value of the reference page', () => {
    const { schemas } = document.components;
    const values = JSON.stringify(schemas);
    for (const value of [
      'WebReady ScalableMesh',
      'Calibration',
      'Draft',
      'unsubmitted',
      'Southeast Asia',
      'OMR',
    ])
      expect(values).toContain(`"${value}"`);
    const { properties } = schemas['Job'] as { properties: object };
    expect(Object.keys(properties).sort()).toEqual(
      [
        ...['id', 'name', 'type', 'state', 'createdDateTime', 'lastModifiedDateTime', 'location', 'iTwinId'],
        ...[
          'workspaceId',
          'email',
          'executionInformation',
          'inputs',
          'jobSettings',
          'costEstimationParameters',
        ],
        'estimatedCost',
      ].sort(),
    );
  });
});
