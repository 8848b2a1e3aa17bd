import { MagrpoError } from '../base/errors.ts'
import { inspect } from '../base/inspect.ts'
import { suggestion } from '../base/nearest.ts'

/** One line of the input: its number, counted from 1, and its object. */
export interface InputLine {
  line: number
  value: Record<string, unknown>
}

/** An error about one line of the input. */
export function lineError(line: number, message: string, cause?: unknown, field?: string): MagrpoError {
  const details = { file: 'standard input', line, ...(field === undefined ? {} : { field }) }
  const text = `Input line ${line}: ${message}${message.endsWith('?') ? '' : '.'}`
  return new MagrpoError('ERR_DATA', text, { details, cause })
}

/**
 * An error about one field of a line.
 *
 * @param received JSON of what stands there; undefined where nothing does
 */
export function fieldError(line: number, field: string, expected: string, received: string | undefined): MagrpoError {
  return lineError(line, `expected ${expected} in "${field}" but received ${excerpt(received)}`, undefined, field)
}

/**
 * Reads JSON objects, one per line. Lines end with a line feed and nothing else (JSON strings may hold U+2028); empty ones are
 * skipped but counted.
 *
 * @throws MagrpoError `ERR_DATA` naming the line: not UTF-8, no JSON, no object
 */
export async function* readJsonLines(input: AsyncIterable<Uint8Array | string>): AsyncGenerator<InputLine> {
  let line = 0
  for await (const text of splitLines(input)) {
    line++
    if (text.trim() === '') continue
    yield { line, value: parseObject(text, line) }
  }
}

function parseObject(text: string, line: number): Record<string, unknown> {
  const message = `expected a JSON object but received ${excerpt(text)}`
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw lineError(line, `${message}: ${(cause as Error).message}`, cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw lineError(line, message)
  return value as Record<string, unknown>
}

async function* splitLines(input: AsyncIterable<Uint8Array | string>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  let lines = 0
  const decode = (bytes?: Uint8Array) => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined })
    } catch (cause) {
      throw lineError(lines + 1, 'the text from here on is not valid UTF-8', cause)
    }
  }
  for await (const chunk of input) {
    const parts = (rest + (typeof chunk === 'string' ? chunk : decode(chunk))).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) {
      lines++
      yield part
    }
  }
  rest += decode()
  if (rest !== '') yield rest
}

/**
 * Refuses fields that the command does not know: a misspelt one would be left out in silence.
 *
 * @throws MagrpoError `ERR_DATA` naming line, field and the nearest known one
 */
export function checkFields({ line, value }: InputLine, known: readonly string[]): void {
  const unknown = Object.keys(value).find((field) => !known.includes(field))
  if (unknown === undefined) return
  throw lineError(line, `unknown field "${excerpt(unknown)}"; ${suggestion(unknown, known)}`, undefined, unknown)
}

/** A field with an array of token ids. */
export function idsField({ line, value }: InputLine, field: string): Int32Array {
  const ids = value[field]
  if (!Array.isArray(ids)) throw fieldError(line, field, 'an array of token ids', JSON.stringify(ids))
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id > 0x7f_ff_ff_ff)
  if (wrong !== undefined) throw fieldError(line, field, 'whole token ids from 0 up', inspect(wrong))
  return Int32Array.from(ids as number[])
}

/** A short form of what was received, for messages. */
function excerpt(text: string | undefined): string {
  if (text === undefined) return 'nothing'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
