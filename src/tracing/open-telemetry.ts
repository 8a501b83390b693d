import {
  type Attributes,
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import { TracerProvider } from '@opentelemetry/sdk-trace';
import {
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_SERVICE_NAME,
  ATTR_URL_FULL,
  ATTR_URL_PATH,
} from '@opentelemetry/semantic-conventions';
import type { Logger } from 'pino';
import { spanExporter } from './span-exporter.ts';
import type {
  CallEnd,
  PollEnd,
  PollTrace,
  ReadEnd,
  ReadTrace,
  Trace,
  TracedCall,
  TraceIds,
  Tracing,
} from './tracing.ts';

const NAME = 'itwin-jobs-gateway';
/** Longest export of the remaining spans at shutdown, in milliseconds. */
const SHUTDOWN_TIMEOUT_MS = 1000;
const CALLER = 'gateway.caller';
const OUTCOME = 'gateway.outcome';
const JOB_ID = 'gateway.job.id';
const CORRELATION_ID = 'gateway.correlation_id';
const ERROR_CODE = 'gateway.error.code';

const propagator = new W3CTraceContextPropagator();

/**
 * Creates traces with OpenTelemetry. Spans are passed explicitly and not by async context, because a call can run in
 * the slot of another read. Nothing is patched or registered globally.
 * @param endpoint the base URL of an OTLP/HTTP collector
 * @param route the path of a job, with `{id}`
 */
export function openTelemetry(endpoint: string, route: string, log: Logger): Tracing {
  return new OpenTelemetry(endpoint, route, log);
}

class OpenTelemetry implements Tracing {
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;
  readonly #tokens = new TokenRequestSpans();

  constructor(
    endpoint: string,
    private readonly route: string,
    log: Logger,
  ) {
    const resource = defaultResource()
      .merge(resourceFromAttributes({ [ATTR_SERVICE_NAME]: NAME }))
      .merge(detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] }));
    this.#provider = new TracerProvider({ resource, spanProcessors: [spanExporter(endpoint, log)] });
    this.#tracer = this.#provider.getTracer(NAME);
  }

  read(method: string, headers: Readonly<Record<string, string | string[] | undefined>>): ReadTrace {
    const parent = propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
    const attributes = { [ATTR_HTTP_REQUEST_METHOD]: method, [ATTR_HTTP_ROUTE]: this.route };
    const options = { kind: SpanKind.SERVER, attributes };
    const span = this.#tracer.startSpan(`${method} ${this.route}`, options, parent);
    return new ReadSpan(this.#tracer, span, this.route, this.#tokens);
  }

  poll(jobId: string): PollTrace {
    const span = this.#tracer.startSpan('poll job', { attributes: { [JOB_ID]: jobId } }, ROOT_CONTEXT);
    return new PollSpan(this.#tracer, span, this.route, this.#tokens);
  }

  tokenRequest(url: string): TracedCall {
    const options = {
      kind: SpanKind.CLIENT,
      attributes: { [ATTR_HTTP_REQUEST_METHOD]: 'POST', ...urlAttributes(url) },
    };
    const span = this.#tracer.startSpan('POST token', options, ROOT_CONTEXT);
    const end = this.#tokens.begin(span.spanContext());
    return {
      // The trace is not propagated to the token endpoint.
      headers: {},
      end: (result) => {
        endCall(span, result);
        end();
      },
    };
  }

  async end(): Promise<void> {
    const timeout = new Promise((resolve) => setTimeout(resolve, SHUTDOWN_TIMEOUT_MS).unref());
    await Promise.race([this.#provider.shutdown().catch(() => undefined), timeout]);
  }
}

/** The latest token request, to which waits for a slot are linked if they overlap. */
class TokenRequestSpans {
  #latest: SpanContext | undefined;
  #endedAt = -Infinity;

  begin(span: SpanContext): () => void {
    this.#latest = span;
    this.#endedAt = Infinity;
    return () => {
      this.#endedAt = performance.now();
    };
  }

  /** The latest request if it had not ended by then. */
  since(at: number): SpanContext | undefined {
    return this.#endedAt >= at ? this.#latest : undefined;
  }
}

/** A span whose waits and calls become child spans. */
class SpanTrace implements Trace {
  readonly context: Context;
  readonly ids: TraceIds;

  constructor(
    private readonly tracer: Tracer,
    readonly span: Span,
    protected readonly route: string,
    private readonly tokens: TokenRequestSpans,
  ) {
    this.context = trace.setSpan(ROOT_CONTEXT, span);
    const { traceId, spanId } = span.spanContext();
    this.ids = { traceId, spanId };
  }

  wait(): (found: boolean) => void {
    const since = performance.now();
    const span = this.tracer.startSpan('wait for a slot', {}, this.context);
    return (found) => {
      if (!span.isRecording()) return;
      const token = this.tokens.since(since);
      if (token) span.addLink({ context: token });
      span.setAttribute(OUTCOME, found ? 'found' : 'none').end();
    };
  }

  call(url: string): TracedCall {
    const attributes = { [ATTR_HTTP_REQUEST_METHOD]: 'GET', ...urlAttributes(url) };
    const span = this.tracer.startSpan(
      `GET ${this.route}`,
      { kind: SpanKind.CLIENT, attributes },
      this.context,
    );
    const headers: Record<string, string> = {};
    propagator.inject(trace.setSpan(ROOT_CONTEXT, span), headers, defaultTextMapSetter);
    return {
      headers,
      end: (end) => {
        endCall(span, end);
      },
    };
  }

  joins({ ids: { traceId, spanId } }: Trace): void {
    this.span.addLink({ context: { traceId, spanId, traceFlags: this.span.spanContext().traceFlags } });
  }
}

class PollSpan extends SpanTrace implements PollTrace {
  end({ outcome, failure }: PollEnd = {}): void {
    if (outcome !== undefined) this.span.setAttribute(OUTCOME, outcome);
    if (failure !== undefined) fail(this.span, failure);
    this.span.end();
  }
}

class ReadSpan extends SpanTrace implements ReadTrace {
  end({ status, outcome, caller, correlationId, jobId }: ReadEnd): void {
    const attributes: Attributes = { [OUTCOME]: outcome, [CALLER]: caller, [CORRELATION_ID]: correlationId };
    if (status !== undefined) attributes[ATTR_HTTP_RESPONSE_STATUS_CODE] = status;
    // Other ids are left out: they may be anything, even a misplaced key.
    if (jobId !== undefined) {
      attributes[JOB_ID] = jobId;
      attributes[ATTR_URL_PATH] = this.route.replace('{id}', jobId);
    }
    this.span.setAttributes(attributes);
    if (status !== undefined && status >= 500) fail(this.span, String(status));
    this.span.end();
  }
}

function endCall(span: Span, { status, failure, code, correlationId }: CallEnd): void {
  if (status !== undefined) span.setAttribute(ATTR_HTTP_RESPONSE_STATUS_CODE, status);
  if (correlationId !== undefined) span.setAttribute(CORRELATION_ID, correlationId);
  if (failure !== undefined) fail(span, failure, code);
  span.end();
}

/**
 * Marks a span as failed (OpenTelemetry semantic conventions, "Recording errors"). `error.type` has few values, for
 * grouping; the code is a separate attribute and the description of the status.
 */
function fail(span: Span, failure: string, code?: string): void {
  span.setAttribute(ATTR_ERROR_TYPE, failure);
  if (code !== undefined) span.setAttribute(ERROR_CODE, code);
  span.setStatus({ code: SpanStatusCode.ERROR, ...(code !== undefined && { message: code }) });
}

/** Attributes of a URL, without query and credentials. */
function urlAttributes(url: string): Attributes {
  const { hostname, port, protocol, origin, pathname } = new URL(url);
  return {
    [ATTR_SERVER_ADDRESS]: hostname,
    [ATTR_SERVER_PORT]: Number(port || (protocol === 'https:' ? 443 : 80)),
    [ATTR_URL_FULL]: `${origin}${pathname}`,
  };
}
