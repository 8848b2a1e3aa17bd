/** One file of the hub, fetched so that an interruption costs nothing and a damaged file is never used. */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { MagrpoError } from '../base/errors.ts'
import { close, stat } from '../base/read-files.ts'
import { causeOf, type HubAccess, hubError } from './access.ts'

const mkdir = promisify(fs.mkdir)
const rename = promisify(fs.rename)
const rm = promisify(fs.rm) as (path: string, options: fs.RmOptions) => Promise<void>
const open = promisify(fs.open)
const write = promisify(fs.write) as (
  ...args: [number, Uint8Array, number, number, null]
) => Promise<{ bytesWritten: number }>
const writeFile = promisify(fs.writeFile)

/** A file as the hub lists it. */
export interface HubFile {
  path: string
  /** Bytes. */
  size: number
  /** Its name among the blobs: SHA-256 of a large file, git's SHA-1 of a small one. */
  etag: string
}

/** What is fetched, where to, and who hears of it. */
interface BlobRequest {
  access: HubAccess
  file: HubFile
  url: string
  /** Path of the blob. What has come so far is kept beside it, as `<blob>.magrpo.incomplete`. */
  blob: string
  /** Called with the bytes that are there. */
  onBytes(bytes: number): void
  signal?: AbortSignal
}

/** Attempts in a row that bring nothing, after which it is given up. */
const maxFruitless = 3

/**
 * Fetches a blob. It gets its name when all of it is there and has its checksum; until then an aborted or broken download is
 * gone on with where it stopped, by this call or a later one.
 *
 * @throws MagrpoError as `hubError`, with reasons `unreachable`, `checksum`, `disk_full`, `cannot_write`; the signal's reason
 */
export async function fetchBlob(request: BlobRequest): Promise<void> {
  const { access, file, blob, signal } = request
  const partial = partialOf(blob)
  try {
    await mkdir(dirname(blob), { recursive: true })
    const begunBefore = (await sizeOf(partial)) > 0
    await complete(request, partial)
    let found = await checksumOf(partial, file)
    if (found !== file.etag && begunBefore) {
      // What was there before may be another's: once more, from nothing.
      await rm(partial, { force: true })
      await complete(request, partial)
      found = await checksumOf(partial, file)
    }
    if (found !== file.etag) {
      await rm(partial, { force: true })
      const what = `${file.path} came damaged, expected checksum ${file.etag} but received ${found}; try again`
      throw hubError(access.repository, 'checksum', what)
    }
    await rename(partial, blob)
  } catch (error) {
    signal?.throwIfAborted()
    throw error instanceof MagrpoError ? error : cannotStore(access, blob, error)
  }
}

/** Path of what has come so far of a blob. */
export const partialOf = (blob: string): string => `${blob}.magrpo.incomplete`

/** Bytes of a file; 0 if there is none. */
export const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => undefined))?.size ?? 0

async function complete(request: BlobRequest, partial: string): Promise<void> {
  const { access, file, signal } = request
  if (file.size === 0) return writeFile(partial, '')
  let fruitless = 0
  for (;;) {
    const before = await sizeOf(partial)
    if (before === file.size) return
    try {
      await append(request, partial, before)
      return
    } catch (error) {
      signal?.throwIfAborted()
      if (isOfDisk(error)) throw error
      const reason = error instanceof MagrpoError ? error.details.reason : 'unreachable'
      if (reason !== 'unreachable') throw error
      fruitless = (await sizeOf(partial)) > before ? 0 : fruitless + 1
      if (fruitless === maxFruitless) {
        if (error instanceof MagrpoError) throw error
        const kept = `${await sizeOf(partial)} of ${file.size} bytes are kept; the same command goes on from there`
        throw hubError(access.repository, 'unreachable', `${file.path} breaks off: ${causeOf(error)}; ${kept}`, error)
      }
      if (fruitless > 0) await sleep(500 * 2 ** fruitless, undefined, { signal })
    }
  }
}

/** One request for what is missing after the first `before` bytes. */
async function append({ access, file, url, onBytes, signal }: BlobRequest, partial: string, before: number) {
  if (before > file.size) await rm(partial, { force: true })
  const start = before > file.size ? 0 : before
  const response = await access.fetch(url, start > 0 ? { headers: { range: `bytes=${start}-` } } : {})
  const isContinued = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${start}-`)
  if (response.status === 416 || (response.status === 206 && !isContinued) || response.body === null) {
    await response.body?.cancel()
    await rm(partial, { force: true })
    throw new Error(`the hub answers ${response.status} to a request for the bytes from ${start} on`)
  }
  let bytes = isContinued ? start : 0
  onBytes(bytes)
  // Written one by one, so that an abort loses nothing of what was counted.
  const descriptor = await open(partial, isContinued ? 'a' : 'w')
  try {
    for await (const chunk of response.body as AsyncIterable<Uint8Array> & ReadableStream) {
      if (bytes + chunk.length <= file.size) await writeWhole(descriptor, chunk)
      bytes += chunk.length
      if (bytes > file.size) break
      onBytes(bytes)
    }
  } finally {
    await close(descriptor)
  }
  signal?.throwIfAborted()
  if (bytes === file.size) return
  if (bytes > file.size) await rm(partial, { force: true })
  throw new Error(`received ${bytes > file.size ? 'more than' : `${bytes} of`} ${file.size} bytes`)
}

/** A nearly full disk takes a part of what it is given. */
async function writeWhole(descriptor: number, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length; )
    offset += (await write(descriptor, bytes, offset, bytes.length - offset, null)).bytesWritten
}

/** The checksum that the hub lists for such a file: git's of a blob where it has 40 digits, else SHA-256. */
async function checksumOf(path: string, { etag, size }: HubFile): Promise<string> {
  const hash = createHash(etag.length === 40 ? 'sha1' : 'sha256')
  if (etag.length === 40) hash.update(`blob ${size}\0`)
  await pipeline(fs.createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}

/** Errors of the file system name the call; those of the network come wrapped by `fetch`. */
const isOfDisk = (error: unknown) => typeof (error as NodeJS.ErrnoException).syscall === 'string'

/** The error of a cache that cannot be written. */
export function cannotStore({ repository }: Pick<HubAccess, 'repository'>, path: string, cause: unknown): MagrpoError {
  const { code, message } = cause as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return hubError(
      repository,
      'disk_full',
      `the disk of ${dirname(path)} is full; what has come is kept, make room (or set HF_HOME to a folder on another disk) and try again`,
      cause,
    )
  return hubError(
    repository,
    'cannot_write',
    `the cache cannot be written: ${message}; HF_HOME names another folder`,
    cause,
  )
}
