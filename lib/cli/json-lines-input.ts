import { MagrpoError } from '../base/errors.ts'
import { inspect } from '../base/inspect.ts'
import { nearest } from '../base/nearest.ts'

/** One line of the input: its number, counted from 1, and its object. */
export interface InputLine {
  line: number
  value: Record<string, unknown>
}

/** An error about one line of the input. */
export function lineError(
  line: number,
  message: string,
  options: { field?: string; cause?: unknown } = {},
): MagrpoError {
  const { field, cause } = options
  const details = { file: 'standard input', line, ...(field === undefined ? {} : { field }) }
  return new MagrpoError('ERR_DATA', `Input line ${line}: ${message}${message.endsWith('?') ? '' : '.'}`, {
    details,
    cause,
  })
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
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw lineError(line, `expected a JSON object but received ${excerpt(text)}: ${(cause as Error).message}`, {
      cause,
    })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw lineError(line, `expected a JSON object but received ${excerpt(text)}`)
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
      throw lineError(lines + 1, 'the text from here on is not valid UTF-8', { cause })
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
  const near = nearest(unknown, known)
  const remedy = near === undefined ? `known: ${known.join(', ')}` : `did you mean "${near}"?`
  throw lineError(line, `unknown field "${excerpt(unknown)}"; ${remedy}`, { field: unknown })
}

/** A field with an array of token ids. */
export function idsField({ line, value }: InputLine, field: string): Int32Array {
  const ids = value[field]
  if (!Array.isArray(ids))
    throw lineError(line, `expected an array of token ids in "${field}" but received ${excerpt(JSON.stringify(ids))}`, {
      field,
    })
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id > 0x7f_ff_ff_ff)
  if (wrong !== undefined)
    throw lineError(line, `expected whole token ids from 0 up in "${field}" but received ${excerpt(inspect(wrong))}`, {
      field,
    })
  return Int32Array.from(ids as number[])
}

/** A short form of what was received, for messages. */
export function excerpt(text: string | undefined): string {
  if (text === undefined) return 'nothing'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
