/** Lines of a file with the places they end at, for files that a killed process may have left in the middle of a line. */
import { createReadStream } from 'node:fs'
import { MagrpoError } from './errors.ts'
import { checkRegularFile } from './read-files.ts'

/** One line that is whole. */
interface PlacedLine {
  /** Without its end. */
  text: string
  /** Counted from 1. */
  number: number
  /** Offset of the byte after its end. */
  end: number
}

const newline = 0x0a

/**
 * The whole lines of a file; nothing if there is no such file.
 *
 * @param limit bytes to read at most
 * @throws MagrpoError `ERR_RUN` for what is no regular file
 */
export async function* wholeLines(path: string, limit = Number.POSITIVE_INFINITY): AsyncGenerator<PlacedLine> {
  if (limit <= 0) return
  let rest = Buffer.alloc(0)
  let [end, number] = [0, 0]
  try {
    await checkRegularFile(path, 'ERR_RUN')
    for await (const piece of createReadStream(path, { end: limit - 1 })) {
      // Bytes are searched, not characters: no other one ends a line of JSON.
      const bytes = Buffer.concat([rest, piece as Buffer])
      let begin = 0
      for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, begin)) {
        end += at + 1 - begin
        yield { text: bytes.toString('utf8', begin, at), number: ++number, end }
        begin = at + 1
      }
      rest = bytes.subarray(begin)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
}

/**
 * Checks that the first `bytes` bytes of a file are whole lines of JSON.
 *
 * @throws MagrpoError `ERR_DATA` naming the file and the line that is not, or `ERR_RUN` where bytes are missing
 */
export async function checkJsonLines(path: string, bytes: number): Promise<void> {
  let checked = 0
  for await (const { text, number, end } of wholeLines(path, bytes)) {
    try {
      JSON.parse(text)
    } catch (cause) {
      const message =
        `Line ${number} of ${path} is not JSON (${(cause as Error).message}). Nothing was changed. Repair the line, or remove the ` +
        'checkpoints that are newer than it, to compute what followed again.'
      throw new MagrpoError('ERR_DATA', message, { details: { file: path, line: number }, cause })
    }
    checked = end
  }
  if (checked === bytes) return
  throw new MagrpoError(
    'ERR_RUN',
    `Expected ${bytes} bytes of whole lines in ${path}, as the checkpoint has it, but it has ${checked}: it was changed. Put the ` +
      'file back, or remove the checkpoints that are newer than the damage, to compute what followed again.',
    { details: { path, expected: bytes, received: checked } },
  )
}
