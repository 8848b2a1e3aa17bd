/** Text from tokens as they come, in whole characters only. */

import { expectInstance } from '../base/arguments.ts'
import { isByteToken } from './reference-behaviour.ts'
import { type DecodeOptions, Tokenizer } from './tokenizer.ts'

/**
 * Turns batches of token ids into pieces of text. Pieces never hold a part of a character: what may still become one is
 * kept back until it is complete or `flush` is called. All pieces together are what `tokenizer.decode` gives for all ids.
 *
 * @example
 * ```ts
 * const model = await Model.load('path/to/a/model')
 * const decoder = new StreamDecoder(model.tokenizer!)
 * await Policy.base(model).generate(['Once upon a time'], {
 *   onTokens: (events) => events.forEach(({ ids }) => process.stdout.write(decoder.push(ids))),
 * })
 * process.stdout.write(decoder.flush())
 * ```
 */
export class StreamDecoder {
  readonly #tokenizer: Tokenizer
  readonly #options: DecodeOptions
  /**
   * The ids of the piece given last, and those that came since. A tokenizer may treat the beginning of a text in a
   * special way, so that new ids are always decoded together with some older ones.
   */
  #ids: number[] = []
  /** Text of the ids in `#ids` that was given already. */
  #given = ''
  #givenIds = 0

  /** @param options the same as for `tokenizer.decode` */
  constructor(tokenizer: Tokenizer, options: DecodeOptions = {}) {
    expectInstance(tokenizer, Tokenizer, 'tokenizer of a StreamDecoder')
    this.#tokenizer = tokenizer
    this.#options = options
  }

  /** Takes the next ids and returns the text that is complete with them; often empty. */
  push(ids: ArrayLike<number>): string {
    this.#ids.push(...this.#tokenizer.shownIds(ids, this.#options))
    // The last tokens may end within a character: give what stands before them.
    for (let end = this.#ids.length; end > this.#givenIds; end--) {
      const text = this.#settledText(end)
      if (text === undefined) continue
      const piece = text.slice(this.#given.length)
      this.#ids = this.#ids.slice(this.#givenIds)
      this.#givenIds = end - this.#givenIds
      this.#given = this.#decode(this.#ids.slice(0, this.#givenIds))
      return piece
    }
    return ''
  }

  /** Ends the text: returns what was kept back, with U+FFFD for bytes that form no character. */
  flush(): string {
    const piece = this.#decode(this.#ids).slice(this.#given.length)
    this.#ids = []
    this.#given = ''
    this.#givenIds = 0
    return piece
  }

  /** Text of the first `end` ids if no later id can change it, else undefined. */
  #settledText(end: number): string | undefined {
    const last = this.#tokenizer.idToToken(this.#ids[end - 1] as number)
    // One byte more can make a whole run of byte tokens invalid, so that each of them becomes U+FFFD.
    if (last === undefined || isByteToken(last)) return undefined
    const text = this.#decode(this.#ids.slice(0, end))
    return text.endsWith('\ufffd') || !text.startsWith(this.#given) ? undefined : text
  }

  #decode(ids: number[]): string {
    return this.#tokenizer.decode(ids, this.#options)
  }
}
