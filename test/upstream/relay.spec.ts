import { describe, expect, it } from '@jest/globals';
import { ownWords } from '../../src/upstream/relay.ts';

const DEFAULT = {
  code: 'InvalidContextCaptureRequest',
  message: 'The request cannot be processed.',
};
const relay = (error: unknown) => ownWords({ error }, 422);

describe("upstream's words in a relayed error", () => {
  it.each([
    'Quality must be <Draft|Medium>.',
    'The id must be <guid>.',
    '1 < 2 and a<b, b>c',
    'a<b means that b is more',
    'List<string> was expected.',
    'An arrow <- points there.',
  ])('are passed on although they hold angle brackets: %s', (message) => {
    expect(relay({ code: 'C', message, target: message }).message).toBe(message);
    expect(relay({ code: 'C', message, target: message }).target).toBe(message);
  });

  it.each([
    '<html><body>nginx</body></html>',
    '<!DOCTYPE html>',
    'Not <b>this</b>.',
    'Cut off <body',
    '<H1 class=x>No',
    '<script>alert(1)</script>',
    '<script src="//x',
    '<x-y onclick="alert(1)">',
    '<img/src=x>',
    'See </anything>',
    '<!-- proxy-17 -->',
    '<br/>',
  ])('are not when they are markup, wherever it stands: %s', (markup) => {
    const detail = { code: 'D', message: markup, target: markup };
    expect(relay({ code: 'C', message: markup, target: markup, details: [detail] })).toEqual({
      code: 'C',
      message: DEFAULT.message,
      details: [{ code: 'D', message: DEFAULT.message }],
    });
    expect(ownWords({ message: markup }, 422)).toEqual(DEFAULT);
  });

  it('are shortened when they are too long, not dropped', () => {
    const { message } = relay({ code: 'C', message: `The beginning ${'x'.repeat(2000)}` });
    expect(message).toHaveLength(2000);
    expect(message).toMatch(/^The beginning x+…$/);
    expect(relay({ code: 'C', message: `${'x'.repeat(1998)}\u{1f600}yz` }).message.isWellFormed()).toBe(true);
    expect(ownWords({ message: 'y'.repeat(3000) }, 422).message).toHaveLength(2000);
    expect(relay({ code: 'C', message: 'M', details: Array(150).fill({ code: 'D' }) }).details).toHaveLength(
      100,
    );
  });

  it('outlive a code that cannot be passed on', () => {
    const bad = { code: 'Invalid Request', message: 'Words.', target: 'inputs' };
    expect(relay({ ...bad, details: [bad] })).toEqual({
      ...bad,
      code: DEFAULT.code,
      details: [{ ...bad, code: DEFAULT.code }],
    });
    expect(relay({ code: 'C', message: ' ' }).message).toBe(DEFAULT.message);
    expect(relay({ message: 'Words.' })).toEqual({ code: DEFAULT.code, message: 'Words.' });
  });

  it('leave no empty list of details, but for one that upstream sent so', () => {
    expect(relay({ code: 'C', message: 'M', details: ['text', null, { code: '', message: '<p>' }] })).toEqual(
      {
        code: 'C',
        message: 'M',
      },
    );
    expect(relay({ code: 'C', message: 'M', details: [] }).details).toEqual([]);
  });
});
