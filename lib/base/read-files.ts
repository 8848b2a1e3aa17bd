/**
 * Reading files where a worker thread may be terminated at any moment. The functions of `node:fs/promises` abort the whole process
 * if that hits them as they start (Node 20: `Assertion failed: (argc) == (5)` in `OpenFileHandle`); those with callbacks do not.
 */
import * as fs from 'node:fs'
import { promisify } from 'node:util'
import { type ErrorCode, MagrpoError, ModelFormatError } from './errors.ts'

/** As `fs.promises.stat`. */
export const stat: (file: string) => Promise<fs.Stats> = promisify(fs.stat)

/**
 * Refuses what is there and no regular file: opening a named pipe waits for whoever writes to it, and nothing could end that.
 *
 * @throws MagrpoError with `code` for a folder, pipe, socket or device; the error of `stat` where there is nothing
 */
export async function checkRegularFile(file: string, code: ErrorCode): Promise<void> {
  const stats = await stat(file)
  if (stats.isFile()) return
  const what = stats.isDirectory() ? 'a folder' : stats.isFIFO() ? 'a named pipe' : 'a device or socket'
  const made = code.startsWith('ERR_MODEL') ? ModelFormatError : MagrpoError
  throw new made(code, `Expected a regular file but ${file} is ${what}.`, { details: { file } })
}

/** Largest file of a model that is read as one text. The tokenizers of large vocabularies are an eighth of it. */
const largestText = 2 ** 28

/**
 * As `fs.promises.readFile`, of regular files.
 *
 * @throws MagrpoError with `code` for what is no regular file; for `ERR_MODEL_FORMAT` also for one of more than 256 MiB
 */
export async function readFile(file: string, encoding: 'utf8', code: ErrorCode = 'ERR_MODEL_FORMAT'): Promise<string> {
  await checkRegularFile(file, code)
  const { size } = await stat(file)
  if (code === 'ERR_MODEL_FORMAT' && size > largestText)
    throw new ModelFormatError(code, `Expected a file of at most ${largestText} bytes but ${file} has ${size}.`, {
      details: { file },
    })
  return promisify(fs.readFile)(file, encoding)
}

/** Opens a regular file for reading; the descriptor is the caller's to close. */
export async function openToRead(file: string): Promise<number> {
  await checkRegularFile(file, 'ERR_MODEL_FORMAT')
  return promisify(fs.open)(file, 'r')
}

/** As `fs.promises.close` of a file handle. */
export const close: (descriptor: number) => Promise<void> = promisify(fs.close)

/** `length` bytes from `position` on; fewer where the file ends. */
export async function readBytes(descriptor: number, position: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await promisify(fs.read)(descriptor, Buffer.alloc(length), 0, length, position)
  return buffer.subarray(0, bytesRead)
}

/** State of an open file. */
export const fstat: (descriptor: number) => Promise<fs.Stats> = promisify(fs.fstat)
