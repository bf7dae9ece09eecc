/** The value of a text that is JSON; undefined: it is not. The parser's own error would quote the text. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
