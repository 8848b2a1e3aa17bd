/** Loading the items of a task from JSON files. */

import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { MagrpoError } from '../errors.ts'
import { JsonSplitter } from './json-splitter.ts'

/** Options of {@link loadItems}. */
export interface LoadItemsOptions {
  /** Fields that every item must have, as strings. Defaults to none. */
  fields?: readonly string[]
  /** Number of items to skip at the beginning. Defaults to 0. */
  offset?: number
  /** Number of items to return at most; what comes after is not read. Defaults to all. */
  limit?: number
  /** Ends the loading; the promise is rejected with the signal's reason. */
  signal?: AbortSignal
}

/**
 * Reads the items of a task from a file: JSON Lines or one JSON array of objects, told apart by the first character;
 * `.gz` of either, by the file name. Empty lines and a byte order mark are skipped. The file is read in pieces, and
 * the event loop turns between them.
 *
 * @typeParam Item what an item is; only the presence of `fields` is checked
 * @returns at least one item
 * @throws MagrpoError `ERR_DATA` with `details.file`, and `details.line` (from 1) and `details.field` where there is one:
 *   no such file, broken gzip, UTF-8 or JSON, an item that is not an object, a missing field, no items at all
 * @throws RangeError if `offset` or `limit` is not a whole number that makes sense
 * @example
 * ```ts
 * const posts = await loadItems<{ prompt: string }>('posts.jsonl.gz', { fields: ['prompt'], limit: 1000 })
 * ```
 */
export async function loadItems<Item = Record<string, unknown>>(
  path: string,
  options: LoadItemsOptions = {},
): Promise<Item[]> {
  const { fields = [], offset = 0, limit = Infinity, signal } = options
  if (!(Number.isInteger(offset) && offset >= 0)) throw new RangeError(`Expected offset >= 0 but received ${offset}.`)
  if (!(limit === Infinity || (Number.isInteger(limit) && limit > 0)))
    throw new RangeError(`Expected limit >= 1 but received ${limit}.`)

  const items: Item[] = []
  let seen = 0
  for await (const { text, line } of jsonValues(path, signal)) {
    if (seen++ < offset) continue
    items.push(parseItem(path, text, line, fields) as Item)
    if (items.length >= limit) break
  }
  if (items.length === 0)
    throw dataError(path, seen === 0 ? 'holds no items' : `holds ${seen} items, none after offset ${offset}`)
  return items
}

/** The texts of the file's items, each with the line it begins at. */
async function* jsonValues(path: string, signal?: AbortSignal): AsyncGenerator<{ text: string; line: number }> {
  const splitter = new JsonSplitter((message, line) => dataError(path, message, { line }))
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const decode = (bytes?: Uint8Array) => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined })
    } catch (cause) {
      throw dataError(path, 'is not valid UTF-8', { line: splitter.line, cause })
    }
  }
  for await (const bytes of fileBytes(path, signal)) yield* splitter.push(decode(bytes))
  yield* splitter.push(decode())
  yield* splitter.end()
}

async function* fileBytes(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted()
  const file = createReadStream(path)
  const stream = path.endsWith('.gz') ? file.pipe(createGunzip()) : file
  // `pipe` does not hand on errors, and a consumer of `stream` would wait for ever.
  if (stream !== file) file.on('error', (error) => stream.destroy(error))
  try {
    for await (const bytes of stream) {
      signal?.throwIfAborted()
      yield bytes as Uint8Array
    }
  } catch (cause) {
    signal?.throwIfAborted()
    throw dataError(path, `cannot be read: ${(cause as Error).message}`, { cause })
  } finally {
    file.destroy()
    stream.destroy()
  }
}

function parseItem(path: string, text: string, line: number, fields: readonly string[]): Record<string, unknown> {
  let item: unknown
  try {
    item = JSON.parse(text)
  } catch (cause) {
    throw dataError(path, `broken JSON: ${(cause as Error).message}`, { line, cause })
  }
  if (typeof item !== 'object' || item === null || Array.isArray(item))
    throw dataError(path, `expected an object but received ${text.slice(0, 60)}`, { line })
  const record = item as Record<string, unknown>
  for (const field of fields)
    if (typeof record[field] !== 'string')
      throw dataError(
        path,
        Object.hasOwn(record, field)
          ? `expected a string in field "${field}" but received ${JSON.stringify(record[field])?.slice(0, 60)}`
          : `expected a field "${field}" but the item has ${JSON.stringify(Object.keys(record))}`,
        { line, field },
      )
  return record
}

function dataError(
  file: string,
  message: string,
  { line, field, cause }: { line?: number; field?: string; cause?: unknown } = {},
): MagrpoError {
  const where = line === undefined ? `Data file ${file}` : `Data file ${file}, line ${line}`
  const separator = line === undefined ? ' ' : ': '
  return new MagrpoError('ERR_DATA', `${where}${separator}${message}.`, {
    details: { file, ...(line !== undefined && { line }), ...(field !== undefined && { field }) },
    cause,
  })
}
