/** Loading the items of a task from JSON and Parquet files. */

import { createReadStream } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import { createGunzip } from 'node:zlib'
import { z } from 'zod'
import { expectText } from '../../base/arguments.ts'
import { MagrpoError } from '../../base/errors.ts'
import { abortSignal, integer, list, text } from '../../base/fields.ts'
import { formatBytes } from '../../base/format.ts'
import { inspect } from '../../base/inspect.ts'
import { parseJson } from '../../base/parse-json.ts'
import { checkRegularFile } from '../../base/read-files.ts'
import { type FieldsOf, resolve, section } from '../../base/validate.ts'
import { JsonSplitter } from './json-splitter.ts'
import { parquetRows } from './parquet.ts'

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

const loadSection = section({
  fields: list(text()).default([]),
  offset: integer({ from: 0 }).default(0),
  limit: z.union([integer({ from: 1 }), z.literal(Infinity)]).default(Infinity),
  signal: abortSignal(),
} satisfies FieldsOf<LoadItemsOptions>)

/**
 * Reads the items of a task from a file: JSON Lines or one JSON array of objects, told apart by the first character;
 * `.gz` of either and `.parquet`, by the file name. Empty lines and a byte order mark are skipped. The file is read in pieces,
 * and the event loop turns between them.
 *
 * @typeParam Item what an item is; only the presence of `fields` is checked
 * @returns at least one item
 * @throws MagrpoError `ERR_DATA` with `details.file`, and `details.line` (from 1; of Parquet `details.row`) and `details.field` where
 *   there is one: no such file, broken gzip, UTF-8, JSON or Parquet, more than fits in memory, an item that is not an object, a missing field, no items at all
 * @throws ConfigError for options that are unknown or out of range
 * @example
 * ```ts
 * const posts = await loadItems<{ prompt: string }>('posts.jsonl.gz', { fields: ['prompt'], limit: 1000 })
 * ```
 */
export async function loadItems<Item = Record<string, unknown>>(
  path: string,
  options: LoadItemsOptions = {},
): Promise<Item[]> {
  expectText(path, 'path of loadItems')
  const { fields, offset, limit, signal } = resolve(loadSection, options, 'The options of loadItems')

  const items: Item[] = []
  let seen = 0
  for await (const { place, value } of valuesOf(path, offset, signal)) {
    seen = place.index + 1
    if (place.index < offset) continue
    if (items.length % memoryCheckEvery === 0) checkMemory(path, items.length, place)
    items.push(checkItem(path, value(), place, fields) as Item)
    if (items.length >= limit) break
  }
  if (items.length > 0) return items
  const count = seen > 0 ? `${seen} items, none` : 'no items'
  throw dataError(path, `holds ${count}${offset > 0 ? ` after offset ${offset}` : ''}`)
}

/** Where an item is in its file; `index` counts items from 0. */
interface Place {
  index: number
  /** From 1; of JSON. */
  line?: number
  /** From 0; of Parquet. */
  row?: number
}

/** An item that is read only if it is wanted. */
interface LazyItem {
  place: Place
  value(): unknown
}

async function* valuesOf(path: string, offset: number, signal?: AbortSignal): AsyncGenerator<LazyItem> {
  if (path.endsWith('.parquet')) return yield* parquetValues(path, offset, signal)
  let index = 0
  for await (const { text, line } of jsonValues(path, signal)) {
    const place = { index: index++, line }
    yield { place, value: () => parsed(path, text, line) }
  }
}

async function* parquetValues(path: string, offset: number, signal?: AbortSignal): AsyncGenerator<LazyItem> {
  try {
    for await (const { row, value } of parquetRows(path, offset, signal))
      yield { place: { index: row, row }, value: () => value }
  } catch (cause) {
    signal?.throwIfAborted()
    throw dataError(path, `cannot be read as Parquet: ${(cause as Error).message}`, { cause })
  }
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
  await checkRegularFile(path, 'ERR_DATA').catch((cause: Error) => {
    throw cause instanceof MagrpoError ? cause : dataError(path, `cannot be read: ${cause.message}`, { cause })
  })
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

/** Items between two looks at the memory. */
const memoryCheckEvery = 1000

/** Most of the memory that node may use for objects, after which it would soon end the process. */
const fullHeap = 0.75

/** Refuses more items than fit in memory: a small packed file may hold any number. */
function checkMemory(path: string, count: number, place: Place): void {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
  if (used < fullHeap * limit) return
  throw dataError(
    path,
    `does not fit in memory: ${count} items were read when ${formatBytes(used)} of ${formatBytes(limit)} were in use; ` +
      'load a part of it (limit), or give node more memory (NODE_OPTIONS=--max-old-space-size=MEBIBYTES)',
    place,
  )
}

function parsed(path: string, text: string, line: number): unknown {
  try {
    return parseJson(text)
  } catch (cause) {
    throw dataError(path, `broken JSON: ${(cause as Error).message}`, { line, cause })
  }
}

function checkItem(path: string, item: unknown, place: Place, fields: readonly string[]): Record<string, unknown> {
  if (typeof item !== 'object' || item === null || Array.isArray(item))
    throw dataError(path, `expected an object but received ${inspect(item).slice(0, 60)}`, place)
  const record = item as Record<string, unknown>
  for (const field of fields)
    if (typeof record[field] !== 'string')
      throw dataError(
        path,
        Object.hasOwn(record, field)
          ? `expected a string in field "${field}" but received ${inspect(record[field]).slice(0, 60)}`
          : `expected a field "${field}" but the item has ${inspect(Object.keys(record)).slice(0, 300)}`,
        { ...place, field },
      )
  return record
}

function dataError(
  file: string,
  message: string,
  { line, row, field, cause }: { line?: number; row?: number; field?: string; cause?: unknown } = {},
): MagrpoError {
  const place = line !== undefined ? `, line ${line}: ` : row !== undefined ? `, row ${row}: ` : ' '
  const details = Object.fromEntries(
    Object.entries({ file, line, row, field }).filter(([, value]) => value !== undefined),
  )
  return new MagrpoError('ERR_DATA', `Data file ${file}${place}${message}.`, { details, cause })
}
