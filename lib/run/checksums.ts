/** Checksums of the files of a folder: what tells a whole checkpoint from a damaged one. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Size and checksum of one file. */
interface FileSum {
  bytes: number
  /** Hexadecimal. */
  sha256: string
}

/** Sums of files by name. */
export type FileSums = Record<string, FileSum>

/** Pieces that are small enough for the event loop to turn between them. */
const pieceBytes = 1 << 18

/** Sums of all files of a folder, in the order of their names. */
export async function sumFiles(folder: string): Promise<FileSums> {
  const sums: FileSums = {}
  for (const name of (await readdir(folder)).sort()) sums[name] = await sumFile(join(folder, name))
  return sums
}

/** What is wrong with the files of a folder, measured by their sums; undefined if all is well. */
export async function findDamage(folder: string, sums: FileSums): Promise<string | undefined> {
  for (const [name, { bytes, sha256 }] of Object.entries(sums)) {
    const file = join(folder, name)
    const stats = await stat(file).catch(() => undefined)
    if (stats === undefined) return `${name} is missing`
    const { size } = stats
    if (!stats.isFile()) return `${name} is no regular file`
    if (size !== bytes) return `${name} has ${size} bytes instead of ${bytes}`
    if ((await sumFile(file)).sha256 !== sha256) return `the checksum of ${name} is wrong`
  }
  return undefined
}

async function sumFile(file: string): Promise<FileSum> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of createReadStream(file, { highWaterMark: pieceBytes })) {
    hash.update(piece as Buffer)
    bytes += (piece as Buffer).length
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** Hands a file, or the names in a folder, to the disk. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
