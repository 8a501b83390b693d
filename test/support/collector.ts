import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { atEnd } from './rig.ts';
import { searchAll } from './secrets.ts';
import { until } from './until.ts';

/** An exported span (opentelemetry.proto.trace.v1, in JSON). */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** 1: internal, 2: server, 3: client. */
  readonly kind: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 2: an error. */
  readonly status: number;
  readonly statusMessage: string;
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number | string };
}

type WireSpan = Omit<Span, 'attributes' | 'links' | 'status' | 'statusMessage'> & {
  readonly attributes: readonly Attribute[];
  readonly links?: Span['links'];
  readonly status: { readonly code?: number; readonly message?: string };
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
};

interface Payload {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

/** How it handles exports: accept, refuse with a status, or not answer. */
export type Behaviour = 'accepts' | 'hangs' | number;

/** A collector for OTLP/HTTP with JSON. Searches everything it receives for secrets. */
export class Collector {
  readonly spans: Span[] = [];
  readonly headers: IncomingHttpHeaders[] = [];
  resource: Readonly<Record<string, string | number>> = {};
  behaviour: Behaviour = 'accepts';
  /** Batches received, and those not answered yet. */
  requests = 0;
  waiting = 0;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  /** @param port default: a free one */
  static async open(port = 0): Promise<Collector> {
    const collector = new Collector();
    collector.#server.listen(port, '127.0.0.1');
    await once(collector.#server, 'listening');
    return collector;
  }

  /** Starts a collector that ends with the test. */
  static async start(port = 0): Promise<Collector> {
    const collector = await Collector.open(port);
    atEnd(() => collector.stop());
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Waits for a number of spans with a name. */
  async named(name: string, count = 1): Promise<Span[]> {
    const found = (): Span[] => this.spans.filter((span) => span.name === name);
    await until(`${count} spans "${name}"`, () => found().length >= count);
    return found();
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    searchAll('a trace', text + JSON.stringify(request.headers));
    this.requests++;
    this.headers.push(request.headers);
    if (this.behaviour === 'accepts') this.#accept(text);
    if (this.behaviour === 'hangs') {
      this.waiting++;
      response.once('close', () => this.waiting--);
      return;
    }
    const status = this.behaviour === 'accepts' ? 200 : this.behaviour;
    response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
  }

  #accept(text: string): void {
    const { resourceSpans } = JSON.parse(text) as Payload;
    for (const { resource, scopeSpans } of resourceSpans) {
      this.resource = valuesOf(resource.attributes);
      this.spans.push(...scopeSpans.flatMap(({ spans }) => spans.map(spanOf)));
    }
  }
}

function spanOf({ attributes, links = [], status, ...span }: WireSpan): Span {
  return {
    ...span,
    startMs: Number(span.startTimeUnixNano) / 1e6,
    endMs: Number(span.endTimeUnixNano) / 1e6,
    attributes: valuesOf(attributes),
    links: links.map(({ traceId, spanId }) => ({ traceId, spanId })),
    status: status.code ?? 0,
    statusMessage: status.message ?? '',
  };
}

function valuesOf(attributes: readonly Attribute[]): Record<string, string | number> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]),
  );
}
