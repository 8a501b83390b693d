import { z } from 'zod';
import { envelope } from '../errors/envelope.ts';
import { requestFields, responseFields } from './fields.ts';
import { jobModels } from './job-model.ts';
import { paths } from './routes.ts';

/** The documents of terminus. Their parts depend on the settings. */
const part = z.looseObject({ status: z.string().meta({ examples: ['up', 'degraded', 'down'] }) });
const Health = z
  .looseObject({
    status: z.string().meta({ examples: ['ok', 'error', 'shutting_down'] }),
    info: z.record(z.string(), part).nullish(),
    error: z.record(z.string(), part).nullish(),
    details: z.record(z.string(), part).nullish(),
  })
  .meta({ description: 'A health document of terminus.' });

const ErrorResponse = envelope.meta({ description: 'The form of every error but those of health.' });

/** The code's schemas by name, as JSON Schema with references to each other. */
function schemas(): Record<string, object> {
  const models = z.registry<{ id: string }>();
  for (const [id, model] of Object.entries({ ...jobModels, ErrorResponse, Health }))
    models.add(model, { id });
  // As input schemas, which allow further fields.
  const made = z.toJSONSchema(models, { io: 'input', uri: (id) => `#/components/schemas/${id}` });
  return Object.fromEntries(
    Object.entries(made.schemas).map(([name, { $schema: _, $id: __, ...schema }]) => [name, schema]),
  );
}

/** The OpenAPI 3.1 document of the public API (docs/CONTRACT.md, sections 1 to 4). */
export function openApiDocument(version: string) {
  return {
    openapi: '3.1.1',
    info: {
      title: 'iTwin jobs gateway',
      version,
      summary: 'Reality Modeling jobs behind a shared rate limit.',
      description:
        'The same `GET /contextcapture/jobs/{id}` as the API behind it, with a key of your own instead of OAuth tokens, and as few calls ' +
        'upstream as possible. A client moves over by changing its base URL and its bearer token. Other methods than those named here are ' +
        'answered 405, other paths 404 `NotFound`. A header that cannot be understood is ignored. `Accept` is ignored: the answer is JSON.',
    },
    servers: [{ url: '.', description: 'Where this description comes from.' }],
    tags: [
      { name: 'Jobs', description: 'For callers.' },
      { name: 'Operating', description: 'For the platform, Prometheus and operators.' },
      { name: 'Pages', description: 'For people.' },
    ],
    paths,
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description:
            'The caller’s own credential, given out by the operator of the gateway. It is never sent upstream.',
        },
      },
      parameters: requestFields,
      headers: responseFields,
      schemas: schemas(),
    },
  };
}
