/** Cuts a stream of JSON Lines, or one JSON array, into the texts of its values without parsing them. */

/** The text of one JSON value and the line, from 1, that it begins at. */
interface JsonText {
  text: string
  line: number
}

/** Longest text of one value. An item is far shorter; a packed file of a few kilobytes may hold any length. */
const longestValue = 2 ** 25

/**
 * Takes a file's text in pieces and gives the texts of its values. Whether the file is an array or lines is told by its
 * first character that is not white space.
 */
export class JsonSplitter {
  /** Line of the next character, from 1. */
  line = 1
  #mode: 'unknown' | 'lines' | 'array' | 'after' = 'unknown'
  #text = ''
  #textLine = 1
  #depth = 0
  #inString = false
  #escaped = false
  #expectsValue = false
  readonly #error: (message: string, line: number) => Error

  /** @param error makes the error to throw from a message and a line */
  constructor(error: (message: string, line: number) => Error) {
    this.#error = error
  }

  /** Takes the next piece of text and gives the values that end in it. */
  *push(piece: string): Generator<JsonText> {
    let start = 0
    for (let i = 0; i < piece.length; i++) {
      const c = piece.charCodeAt(i)
      if (this.#mode === 'unknown' && !isSpace(c)) {
        this.#mode = c === 0x5b /* [ */ ? 'array' : 'lines'
        if (this.#mode === 'array') {
          this.#text = ''
          start = i + 1
          this.#textLine = this.line
          continue
        }
      }
      if (this.#mode === 'array') {
        if (this.#endsElement(c)) {
          yield* this.#element(piece.slice(start, i), c === 0x5d)
          start = i + 1
        }
      } else if (c === 0x0a) {
        yield* this.#lineValue(piece.slice(start, i))
        start = i + 1
      }
      if (c === 0x0a) {
        this.line++
        if (this.#mode !== 'array') this.#textLine = this.line
      }
    }
    this.#text += piece.slice(start)
    if (this.#text.length <= longestValue) return
    throw this.#error(`expected values of at most ${longestValue} characters but one is longer`, this.#textLine)
  }

  /** Gives the last value of the file, which may lack its line end. */
  *end(): Generator<JsonText> {
    if (this.#mode === 'array') throw this.#error('the array is not closed: the file seems to be cut off', this.line)
    yield* this.#lineValue('')
  }

  *#lineValue(rest: string): Generator<JsonText> {
    const text = (this.#text + rest).trim()
    this.#text = ''
    if (text === '') return
    if (this.#mode === 'after')
      throw this.#error(`expected nothing after the array but found ${text.slice(0, 60)}`, this.line)
    yield { text, line: this.#textLine }
  }

  *#element(rest: string, last: boolean): Generator<JsonText> {
    const raw = this.#text + rest
    this.#text = ''
    const text = raw.trim()
    const leading = raw.slice(0, raw.length - raw.trimStart().length)
    const line = this.#textLine + (leading.split('\n').length - 1)
    this.#textLine = this.line
    if (last) this.#mode = 'after'
    if (text === '') {
      if (last && !this.#expectsValue) return
      throw this.#error('expected a value in the array but found none', this.line)
    }
    this.#expectsValue = !last
    yield { text, line }
  }

  /** Whether `c` is the comma or bracket that ends an element of the array, and not inside of a value. */
  #endsElement(c: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false
      else if (c === 0x5c /* \ */) this.#escaped = true
      else if (c === 0x22) this.#inString = false
      return false
    }
    if (c === 0x22 /* " */) this.#inString = true
    else if (c === 0x7b /* { */ || c === 0x5b /* [ */) this.#depth++
    else if (this.#depth > 0 && (c === 0x7d /* } */ || c === 0x5d) /* ] */) this.#depth--
    else return this.#depth === 0 && (c === 0x2c /* , */ || c === 0x5d)
    return false
  }
}

function isSpace(c: number): boolean {
  return c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09
}
