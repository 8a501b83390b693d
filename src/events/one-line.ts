const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const WHITE_SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** A JSON text on one line: white space outside strings is left out, and every other byte is as it was. */
export function oneLine(json: Buffer): Buffer {
  const line = Buffer.allocUnsafe(json.length);
  let length = 0;
  let inString = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] ?? 0;
    if (!inString && WHITE_SPACE.has(byte)) continue;
    line[length++] = byte;
    if (byte === QUOTE) inString = !inString;
    // What follows a backslash ends no string.
    else if (byte === BACKSLASH && inString) line[length++] = json[++at] ?? 0;
  }
  return line.subarray(0, length);
}
