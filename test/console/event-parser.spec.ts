import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

interface ServerEvent {
  readonly type: string;
  readonly data: string;
  readonly id: string;
}
type Parser = (
  onEvent: (event: ServerEvent) => void,
  onRetry?: (ms: number) => void,
) => (text: string) => void;

// The page is JavaScript for browsers: its types are checked by themselves (tsconfig.page.json).
const PAGE = '../../src/console/page';
const { eventParser } = (await import(`${PAGE}/event-parser.js`)) as { eventParser: Parser };

function parse(...pieces: string[]): { events: ServerEvent[]; retries: number[] } {
  const events: ServerEvent[] = [];
  const retries: number[] = [];
  const take = eventParser(
    (event) => events.push(event),
    (ms) => retries.push(ms),
  );
  pieces.forEach(take);
  return { events, retries };
}

const STREAM = [
  '\uFEFF: a comment\n\n',
  'retry: 2500\nevent: job\ndata: {"job":{"name":"a: b"}}\n\n',
  'event: job-error\r\ndata:first\r\ndata: second\r\n\r\n',
  'event: nothing\n\n',
  'data\ndata\n\n',
  'id: end\nevent: end\ndata: {}\n\n',
  'data: cut off',
].join('');

describe('the parser of server-sent events', () => {
  it('emits complete events with type and id, and keeps the rest', () => {
    expect(parse(STREAM)).toEqual({
      events: [
        { type: 'job', data: '{"job":{"name":"a: b"}}', id: '' },
        { type: 'job-error', data: 'first\nsecond', id: '' },
        { type: 'message', data: '\n', id: '' },
        { type: 'end', data: '{}', id: 'end' },
      ],
      retries: [2500],
    });
  });

  it('accepts the three line breaks of the standard', () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const { events } = parse(
        ['event: job', 'data: 1', '', 'data: 2', '', ''].join(end),
        end === '\r' ? 'x' : '',
      );
      expect(events.map(({ type, data }) => [type, data])).toEqual([
        ['job', '1'],
        ['message', '2'],
      ]);
    }
  });

  it('emits the same events however the stream is split into chunks', () => {
    const cuts = fc.uniqueArray(fc.integer({ min: 0, max: STREAM.length }), { maxLength: 20 });
    fc.assert(
      fc.property(cuts, (places) => {
        const at = [0, ...places.toSorted((a, b) => a - b), STREAM.length];
        const pieces = at.slice(1).map((end, index) => STREAM.slice(at[index], end));
        expect(parse(...pieces)).toEqual(parse(STREAM));
      }),
    );
  });
});
