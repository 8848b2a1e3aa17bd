/** Deepest nesting of arrays and objects that is read. What walks a value recursively would overflow the stack far beyond it. */
const maxDepth = 256

/**
 * As `JSON.parse`, for text of unknown origin.
 *
 * @throws SyntaxError also for text that nests arrays and objects more than 256 deep
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text)
  if (isDeep(text)) throw new SyntaxError(`arrays and objects are nested more than ${maxDepth} deep`)
  return value
}

/** Whether valid JSON nests too deep. */
function isDeep(text: string): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x22 /* " */) i = endOfString(text, i)
    else if (c === 0x5b /* [ */ || c === 0x7b /* { */) {
      if (++depth > maxDepth) return true
    } else if (c === 0x5d /* ] */ || c === 0x7d /* } */) depth--
  }
  return false
}

/** Index of the quote that ends the string beginning at `start`. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; ; i++) {
    i = text.indexOf('"', i)
    let escapes = 0
    while (text.charCodeAt(i - 1 - escapes) === 0x5c /* \ */) escapes++
    if (escapes % 2 === 0) return i
  }
}
