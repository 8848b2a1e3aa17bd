/** Strings that end a completion. They are looked for in the text, so they may span tokens. */

import { MagrpoError } from '../base/errors.ts'

/** What {@link StopStringMatcher.push} found. */
export interface StopResult {
  /** Text that certainly comes before any stop string. */
  text: string
  /** The stop string that ended the text, if one did; then nothing follows. */
  stop?: string
}

/**
 * Finds the first stop string in a text that comes in pieces. It is the one that is complete first; of several that
 * are complete with the same character, the longest. So the result does not depend on how the text is cut into pieces.
 *
 * Text that may be the beginning of a stop string is kept back until that is decided.
 */
export class StopStringMatcher {
  readonly #stops: readonly string[]
  readonly #longest: number
  #pending = ''
  #stop: string | undefined

  /**
   * @param stops may be empty: then all text passes
   * @throws MagrpoError `ERR_ARGUMENT` if a stop string is empty or holds half of a character
   */
  constructor(stops: readonly string[]) {
    for (const stop of stops)
      if (stop === '' || /\p{Surrogate}/u.test(stop))
        throw new MagrpoError(
          'ERR_ARGUMENT',
          `Expected stop strings of at least one whole character but received ${JSON.stringify(stop)}.`,
          { details: { stop } },
        )
    this.#stops = stops
    this.#longest = Math.max(0, ...stops.map((stop) => stop.length))
  }

  /** The stop string that was found, if any. */
  get stop(): string | undefined {
    return this.#stop
  }

  /** Takes the next piece of text, in whole characters. After a stop string was found everything is dropped. */
  push(piece: string): StopResult {
    if (this.#stop !== undefined) return { text: '', stop: this.#stop }
    this.#pending += piece
    const match = this.#firstMatch()
    if (match) {
      const text = this.#pending.slice(0, match.start)
      this.#pending = ''
      this.#stop = match.stop
      return { text, stop: match.stop }
    }
    const kept = this.#lengthToKeep()
    const text = this.#pending.slice(0, this.#pending.length - kept)
    this.#pending = this.#pending.slice(this.#pending.length - kept)
    return { text }
  }

  /** Ends the text: returns what was kept back. */
  flush(): string {
    const text = this.#pending
    this.#pending = ''
    return text
  }

  #firstMatch(): { start: number; stop: string } | undefined {
    let first: { start: number; end: number; stop: string } | undefined
    for (const stop of this.#stops) {
      const start = this.#pending.indexOf(stop)
      if (start < 0) continue
      const end = start + stop.length
      if (!first || end < first.end || (end === first.end && start < first.start)) first = { start, end, stop }
    }
    return first
  }

  /** Length of the longest end of the text that is the beginning of a stop string. */
  #lengthToKeep(): number {
    for (let length = Math.min(this.#longest - 1, this.#pending.length); length > 0; length--) {
      const end = this.#pending.slice(-length)
      if (this.#stops.some((stop) => stop.startsWith(end))) return length
    }
    return 0
  }
}

/**
 * Cuts a complete text before its first stop string.
 *
 * @throws MagrpoError `ERR_ARGUMENT`, see {@link StopStringMatcher}
 */
export function cutAtStop(text: string, stops: readonly string[]): StopResult {
  const matcher = new StopStringMatcher(stops)
  const result = matcher.push(text)
  return result.stop === undefined ? { text: result.text + matcher.flush() } : result
}
