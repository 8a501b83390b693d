import { describe, expect, it } from '@jest/globals';
import { relayedBody } from '../../src/upstream/relay.ts';

const DEFAULT = {
  code: 'InvalidContextCaptureRequest',
  message: 'The request cannot be processed.',
};
const relay = (error: unknown) => relayedBody({ error }, 422);

describe('the body of a relayed error', () => {
  it.each([
    'Quality must be <Draft|Medium>.',
    'The id must be <guid>.',
    '1 < 2 and a<b, b>c',
    'a<b means that b is more',
    'List<string> was expected.',
    'An arrow <- points there.',
  ])('keeps messages with angle brackets: %s', (message) => {
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
  ])('drops markup from every field: %s', (markup) => {
    const detail = { code: 'D', message: markup, target: markup };
    expect(relay({ code: 'C', message: markup, target: markup, details: [detail] })).toEqual({
      code: 'C',
      message: DEFAULT.message,
      details: [{ code: 'D', message: DEFAULT.message }],
    });
    expect(relayedBody({ message: markup }, 422)).toEqual(DEFAULT);
  });

  it('shortens long messages and lists instead of dropping them', () => {
    const { message } = relay({ code: 'C', message: `The beginning ${'x'.repeat(2000)}` });
    expect(message).toHaveLength(2000);
    expect(message).toMatch(/^The beginning x+…$/);
    expect(relay({ code: 'C', message: `${'x'.repeat(1998)}\u{1f600}yz` }).message.isWellFormed()).toBe(true);
    expect(relayedBody({ message: 'y'.repeat(3000) }, 422).message).toHaveLength(2000);
    expect(relay({ code: 'C', message: 'M', details: Array(150).fill({ code: 'D' }) }).details).toHaveLength(
      100,
    );
  });

  it('keeps a message although its code is invalid', () => {
    const bad = { code: 'Invalid Request', message: 'A message.', target: 'inputs' };
    expect(relay({ ...bad, details: [bad] })).toEqual({
      ...bad,
      code: DEFAULT.code,
      details: [{ ...bad, code: DEFAULT.code }],
    });
    expect(relay({ code: 'C', message: ' ' }).message).toBe(DEFAULT.message);
    expect(relay({ message: 'A message.' })).toEqual({ code: DEFAULT.code, message: 'A message.' });
  });

  it('has no empty list of details unless upstream sent one', () => {
    expect(relay({ code: 'C', message: 'M', details: ['text', null, { code: '', message: '<p>' }] })).toEqual(
      {
        code: 'C',
        message: 'M',
      },
    );
    expect(relay({ code: 'C', message: 'M', details: [] }).details).toEqual([]);
  });
});
