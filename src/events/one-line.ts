const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const WHITE_SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

/**
 * Puts a JSON text on one line: removes white space outside strings, and a byte order mark before the text (RFC 8259
 * section 8.1). All other bytes stay.
 */
export function oneLine(json: Buffer): Buffer {
  const line = Buffer.allocUnsafe(json.length);
  let length = 0;
  let inString = false;
  const from = json.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
  for (let at = from; at < json.length; at++) {
    const byte = json[at] ?? 0;
    if (!inString && WHITE_SPACE.has(byte)) continue;
    line[length++] = byte;
    if (byte === QUOTE) inString = !inString;
    // An escaped quote does not end the string.
    else if (byte === BACKSLASH && inString) line[length++] = json[++at] ?? 0;
  }
  return line.subarray(0, length);
}
