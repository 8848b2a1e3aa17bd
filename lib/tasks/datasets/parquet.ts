/** Rows of Parquet files, in whatever compression data sets are published. */
import { open } from 'node:fs/promises'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { checkRegularFile } from '../../base/read-files.ts'

/** One row, with the number it has in its file, from 0. */
interface ParquetRow {
  row: number
  value: Record<string, unknown>
}

/**
 * Reads a file's rows in order, one row group at a time. Whole numbers of 64 bits become numbers where they are exact, else
 * texts, so that rows can be written as JSON.
 *
 * @param start rows to skip; row groups that lie before them are not read
 * @throws Error of the reader if the file is not Parquet, is cut off, or has a codec nobody here knows
 */
export async function* parquetRows(path: string, start = 0, signal?: AbortSignal): AsyncGenerator<ParquetRow> {
  const { parquetMetadataAsync, parquetReadObjects } = await import('hyparquet')
  const { decompress: unzstd } = await import('fzstd')
  const compressors = {
    GZIP: (input: Uint8Array) => new Uint8Array(gunzipSync(input)),
    BROTLI: (input: Uint8Array) => new Uint8Array(brotliDecompressSync(input)),
    ZSTD: (input: Uint8Array, length: number) => unzstd(input, new Uint8Array(length)),
  }
  await checkRegularFile(path, 'ERR_DATA')
  const handle = await open(path)
  try {
    const { size: byteLength } = await handle.stat()
    const slice = async (from: number, to = byteLength) => {
      const buffer = new ArrayBuffer(Math.max(0, to - from))
      await handle.read(new Uint8Array(buffer), 0, buffer.byteLength, from)
      return buffer
    }
    const file = { byteLength, slice }
    const metadata = await parquetMetadataAsync(file)
    let first = 0
    for (const group of metadata.row_groups) {
      signal?.throwIfAborted()
      const end = first + Number(group.num_rows)
      if (end > start) {
        const rows = await parquetReadObjects({ file, metadata, compressors, rowStart: first, rowEnd: end })
        for (const [index, value] of rows.entries()) {
          if (first + index >= start) yield { row: first + index, value: plain(value) as Record<string, unknown> }
        }
      }
      first = end
    }
  } finally {
    await handle.close()
  }
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Date) return value.toISOString()
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}
