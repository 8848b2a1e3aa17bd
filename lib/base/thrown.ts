import { MagrpoError } from './errors.ts'

/**
 * What a user's function threw, in one line: the error's type, its message, and the line of the user's file it came from. The error
 * itself stays the `cause`.
 */
export function describeThrown(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  // What this package throws says itself where and why.
  if (cause instanceof MagrpoError) return cause.message
  const type = cause.name === 'Error' ? '' : `${cause.name}: `
  const place = placeOf(cause)
  return `${type}${cause.message}${place === undefined ? '' : ` (at ${place})`}`
}

/** File, line and column of the first frame that is no part of Node or of a package. */
function placeOf({ stack }: Error): string | undefined {
  for (const line of stack?.split('\n') ?? []) {
    const place = /^\s+at (?:.*\()?((?:file:\/\/|[/A-Za-z]).*:\d+:\d+)\)?$/.exec(line)?.[1]
    if (place === undefined || place.startsWith('node:') || place.includes('/node_modules/')) continue
    return place.replace(/^file:\/\//, '')
  }
  return undefined
}
