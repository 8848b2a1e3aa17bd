/**
 * Reads Parquet files, in whatever compression data sets are published. A damaged file may make this loop, take all memory or fail
 * where nobody waits for it, so that it runs in a process of its own: see `parquet.ts`.
 */
import { open } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { type FileMetaData, parquetMetadataAsync, parquetReadObjects, snappyUncompress } from 'hyparquet'
import { checkRegularFile } from '../../base/read-files.ts'

/** One row; whole numbers of 64 bits are numbers where they are exact, else texts, so that rows can be written as JSON. */
export type ParquetRow = Record<string, unknown>

/** A page of more bytes is damage: writers make pages of a mebibyte. */
const largestPage = 2 ** 30

/** An open file. */
export interface ParquetFile {
  /** Rows of each group, which are read as one. */
  groups: number[]
  /** Rows `first` to `end` of the file, those of one group. */
  rows(first: number, end: number): Promise<ParquetRow[]>
  /** Resolves when nothing is being read: a failure leaves the other columns at work. */
  settled(): Promise<void>
  close(): Promise<void>
}

/** Opens a file. @throws Error of the reader if it is not Parquet or cut off */
export async function openParquet(path: string): Promise<ParquetFile> {
  const { decompress: unzstd } = await import('fzstd')
  const compressors = {
    SNAPPY: (input: Uint8Array, length: number) => {
      const output = page(length)
      snappyUncompress(input, output)
      return output
    },
    GZIP: (input: Uint8Array, length: number) => new Uint8Array(gunzipSync(input, limited(length))),
    BROTLI: (input: Uint8Array, length: number) => new Uint8Array(brotliDecompressSync(input, limited(length))),
    ZSTD: (input: Uint8Array, length: number) => unzstd(input, page(length)),
  }
  await checkRegularFile(path, 'ERR_DATA')
  const handle = await open(path)
  try {
    const { size: byteLength } = await handle.stat()
    let reading = 0
    const slice = async (from: number, to = byteLength) => {
      const begin = Math.max(0, from)
      const buffer = new ArrayBuffer(Math.max(0, Math.min(to, byteLength) - begin))
      reading++
      await handle.read(new Uint8Array(buffer), 0, buffer.byteLength, begin).finally(() => reading--)
      return buffer
    }
    const file = { byteLength, slice }
    const metadata = await parquetMetadataAsync(file)
    return {
      groups: groupsOf(metadata),
      rows: async (rowStart, rowEnd) => {
        const rows = await parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd })
        return rows.map((row) => plain(row) as ParquetRow)
      },
      settled: async () => {
        do await setImmediate()
        while (reading > 0)
      },
      close: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

function groupsOf({ row_groups }: FileMetaData): number[] {
  return row_groups.map(({ num_rows }) => {
    const count = Number(num_rows)
    if (!Number.isSafeInteger(count) || count < 0) throw new Error(`a group of ${num_rows} rows`)
    return count
  })
}

/** Room for a page. */
function page(length: number): Uint8Array {
  checkPage(length)
  return new Uint8Array(length)
}

function limited(maxOutputLength: number): { maxOutputLength: number } {
  checkPage(maxOutputLength)
  // Of a page without bytes, too, zlib wants a positive number.
  return { maxOutputLength: Math.max(1, maxOutputLength) }
}

function checkPage(length: number): void {
  if (length < 0 || length > largestPage) throw new Error(`a page of ${length} bytes`)
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
