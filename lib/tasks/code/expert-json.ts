/**
 * The last JSON object of a text that `accepts` takes, whatever stands around it (prose, fences, other objects); an object
 * inside of an accepted one does not count.
 *
 * @returns `null` if there is none
 */
export function lastJsonObject(
  text: string,
  accepts: (value: Record<string, unknown>) => boolean,
): Record<string, unknown> | null {
  let found: Record<string, unknown> | null = null
  for (let start = text.indexOf('{'); start >= 0; ) {
    const end = endOfObject(text, start)
    const value = end < 0 ? undefined : parsed(text.slice(start, end))
    const isFound = value !== undefined && accepts(value)
    if (isFound) found = value
    start = text.indexOf('{', isFound ? end : start + 1)
  }
  return found
}

/** Where the object that begins at `start` ends; -1 if its braces do not close. */
function endOfObject(text: string, start: number): number {
  let depth = 0
  let inString = false
  for (let i = start; i < text.length; i++) {
    const c = text[i]
    if (inString) {
      if (c === '\\') i++
      else if (c === '"') inString = false
    } else if (c === '"') inString = true
    else if (c === '{') depth++
    else if (c === '}' && --depth === 0) return i + 1
  }
  return -1
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return undefined
  }
}
