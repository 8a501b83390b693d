/**
 * @typedef {object} ServerEvent
 * @property {string} type
 * @property {string} data
 * @property {string} id the latest id, of this event or one before it
 */

/**
 * A parser of server-sent events (HTML Living Standard, section 9.2.6): takes text in chunks of any size and emits
 * complete events. EventSource itself cannot send a key.
 * @param {(event: ServerEvent) => void} onEvent
 * @param {(retryMs: number) => void} onRetry
 * @returns {(text: string) => void}
 */
export function eventParser(onEvent, onRetry = () => undefined) {
  let rest = '';
  let begun = false;
  let [type, id] = ['', ''];
  /** @type {string[]} */
  let data = [];

  /** @param {string} line */
  const takeLine = (line) => {
    if (line === '') {
      if (data.length > 0) onEvent({ type: type || 'message', data: data.join('\n'), id });
      [type, data] = ['', []];
      return;
    }
    const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === 'data') data.push(value);
    else if (field === 'event') type = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) onRetry(Number(value));
  };

  return (text) => {
    rest += begun ? text : text.replace(/^\uFEFF/, '');
    begun ||= text !== '';
    // A carriage return at the end may be the first half of a line break.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    lines.forEach(takeLine);
  };
}
