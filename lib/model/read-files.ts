/**
 * Reading files where a worker thread may be terminated at any moment. The functions of `node:fs/promises` abort the whole process
 * if that hits them as they start (Node 20: `Assertion failed: (argc) == (5)` in `OpenFileHandle`); those with callbacks do not.
 */
import * as fs from 'node:fs'
import { promisify } from 'node:util'

/** As `fs.promises.readFile`. */
export const readFile: (file: string, encoding: 'utf8') => Promise<string> = promisify(fs.readFile)

/** As `fs.promises.stat`. */
export const stat: (file: string) => Promise<fs.Stats> = promisify(fs.stat)

/** Opens a file for reading; the descriptor is the caller's to close. */
export const openToRead = (file: string): Promise<number> => promisify(fs.open)(file, 'r')

/** As `fs.promises.close` of a file handle. */
export const close: (descriptor: number) => Promise<void> = promisify(fs.close)

/** `length` bytes from `position` on; fewer where the file ends. */
export async function readBytes(descriptor: number, position: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await promisify(fs.read)(descriptor, Buffer.alloc(length), 0, length, position)
  return buffer.subarray(0, bytesRead)
}

/** State of an open file. */
export const fstat: (descriptor: number) => Promise<fs.Stats> = promisify(fs.fstat)
