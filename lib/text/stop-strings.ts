/** Strings that end a completion. They are looked for in the text, so they may span tokens. */

import { MagrpoError } from '../base/errors.ts'

/** What {@link cutAtStop} leaves of a text. */
interface StopResult {
  text: string
  /** The stop string that ended the text, if one did. */
  stop?: string
}

/**
 * Cuts a text before its first stop string. The first one is the one that is complete first; if several are complete with the same
 * character, it is the longest.
 *
 * @param stops may be empty: nothing is cut then
 * @throws MagrpoError `ERR_ARGUMENT` if a stop string is empty or holds half of a character
 */
export function cutAtStop(text: string, stops: readonly string[]): StopResult {
  let first: { start: number; end: number; stop: string } | undefined
  for (const stop of stops) {
    checkStop(stop)
    const start = text.indexOf(stop)
    if (start < 0) continue
    const end = start + stop.length
    if (!first || end < first.end || (end === first.end && start < first.start)) first = { start, end, stop }
  }
  return first ? { text: text.slice(0, first.start), stop: first.stop } : { text }
}

function checkStop(stop: string): void {
  if (stop !== '' && !/\p{Surrogate}/u.test(stop)) return
  throw new MagrpoError(
    'ERR_ARGUMENT',
    `Expected stop strings of at least one whole character but received ${JSON.stringify(stop)}.`,
    { details: { stop } },
  )
}
