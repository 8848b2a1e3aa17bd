import { type FileHandle, open } from 'node:fs/promises'
import { ifMissing } from '../base/if-missing.ts'
import { checkRegularFile } from '../base/read-files.ts'

/** A JSON object as it was read. */
export type JsonObject = Record<string, unknown>

/** One whole line of a file. */
interface TailLine {
  /** The parsed line; undefined if it is no JSON object. */
  value: JsonObject | undefined
  /** Counted from 1. */
  number: number
  /** Where the line begins and how long it is, in bytes, without its line break. */
  offset: number
  length: number
}

/** What is new in a file. */
export interface TailRead {
  /** The file is no longer the one read before (a resumed run cut it back): forget what it held. */
  isReset: boolean
  lines: TailLine[]
}

/** Bytes that are compared with what was read before, to see that a file was not cut back and written again. */
const fingerprintBytes = 256
const chunkBytes = 1 << 20
const newline = 10

/** Reads a growing JSON-lines file piece by piece; a line without its line break waits until it has one. */
export class JsonLinesTail {
  readonly path: string
  /** Up to where lines were given out. */
  #offset = 0
  #number = 0
  /** The bytes before `#offset`. */
  #fingerprint: Buffer = Buffer.alloc(0)

  constructor(path: string) {
    this.path = path
  }

  /**
   * Reads on. A file that is missing is empty.
   *
   * @throws MagrpoError `ERR_RUN` for what is no regular file, such as a pipe
   * @param onLines takes the lines of a piece; a large file comes in several, with `isReset` at most in the first
   */
  async read(onLines: (read: TailRead) => void): Promise<void> {
    const file = await checkRegularFile(this.path, 'ERR_RUN')
      .then(() => open(this.path, 'r'))
      .catch(ifMissing(undefined))
    if (file === undefined) {
      if (this.#offset > 0) onLines(this.#reset())
      return
    }
    try {
      const { size } = await file.stat()
      if (size === this.#offset) return
      if (!(await this.#isContinued(file, size))) onLines(this.#reset())
      await this.#readOn(file, onLines)
    } finally {
      await file.close()
    }
  }

  async #readOn(file: FileHandle, onLines: (read: TailRead) => void): Promise<void> {
    let rest: Buffer = Buffer.alloc(0)
    const chunk = Buffer.alloc(chunkBytes)
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, chunkBytes, this.#offset + rest.length)
      if (bytesRead === 0) return
      const bytes = Buffer.concat([rest, chunk.subarray(0, bytesRead)])
      const lines = this.#take(bytes)
      const used = lines.reduce((sum, { length }) => sum + length + 1, 0)
      rest = bytes.subarray(used)
      this.#remember(bytes.subarray(0, used))
      if (lines.length > 0) onLines({ isReset: false, lines })
    }
  }

  /** The whole lines at the start of some bytes; moves on behind them. */
  #take(bytes: Buffer): TailLine[] {
    const lines: TailLine[] = []
    let start = 0
    for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, start)) {
      const value = parseObject(bytes.toString('utf8', start, end))
      lines.push({ value, number: ++this.#number, offset: this.#offset, length: end - start })
      this.#offset += end - start + 1
      start = end + 1
    }
    return lines
  }

  #remember(bytes: Buffer): void {
    this.#fingerprint = Buffer.concat([this.#fingerprint, bytes.subarray(-fingerprintBytes)]).subarray(
      -fingerprintBytes,
    )
  }

  async #isContinued(file: FileHandle, size: number): Promise<boolean> {
    if (size < this.#offset) return false
    const { length } = this.#fingerprint
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, this.#offset - length)
    return buffer.equals(this.#fingerprint)
  }

  #reset(): TailRead {
    this.#offset = 0
    this.#number = 0
    this.#fingerprint = Buffer.alloc(0)
    return { isReset: true, lines: [] }
  }
}

/** A value that is an object, and no array; undefined if it is not. */
export function asObject(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined
}

function parseObject(text: string): JsonObject | undefined {
  try {
    return asObject(JSON.parse(text))
  } catch {
    return undefined
  }
}
