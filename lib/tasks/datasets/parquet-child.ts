/** The program of the process that reads Parquet files: it answers one request at a time, until its parent is gone. */
import { openParquet, type ParquetFile, type ParquetRow } from './parquet-file.ts'

/** Opens a file, or gives rows of the open one: `from` of those that are rows `first` to `end` of the file. */
export type ParquetRequest = { path: string } | { first: number; end: number; from: number }

/** Rows of each group; some rows, and whether more of the same are left; or what failed. */
export type ParquetReply = { groups: number[] } | { rows: ParquetRow[]; isLast: boolean } | { error: string }

/** About as many characters are sent at a time. */
const replySize = 2 ** 22
const replyRows = 1000

let file: ParquetFile | undefined
/** The rows that were read last, and which they are. */
let read: { first: number; rows: ParquetRow[] } | undefined

async function answer(request: ParquetRequest): Promise<ParquetReply> {
  if ('path' in request) {
    read = undefined
    await file?.close()
    file = undefined
    file = await openParquet(request.path)
    return { groups: file.groups }
  }
  const { first, end, from } = request
  if (read?.first !== first) read = { first, rows: await file!.rows(first, end) }
  const { rows } = read
  let [to, size] = [from, 0]
  for (; to < rows.length && to < from + replyRows && size < replySize; to++) size += sizeOf(rows[to])
  return { rows: rows.slice(from, to), isLast: to >= rows.length }
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length
  if (ArrayBuffer.isView(value)) return value.byteLength
  if (typeof value !== 'object' || value === null) return 8
  return Object.values(value).reduce((sum: number, inner) => sum + sizeOf(inner), 8)
}

process.on('message', async (request: ParquetRequest) => {
  const reply = await answer(request).catch(async (error: Error): Promise<ParquetReply> => {
    await file?.settled()
    return { error: error.message }
  })
  process.send!(reply)
})
// Of several columns that fail, the reader waits for one.
process.on('unhandledRejection', () => {})
process.on('disconnect', () => process.exit())
// Ctrl-C in a terminal reaches this process as well; its parent says what happens.
process.on('SIGINT', () => {})
