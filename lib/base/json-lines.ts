import { type FileHandle, open } from 'node:fs/promises'
import { cannotWrite } from './cannot-write.ts'

/**
 * Appends JSON lines to a file. Each line is handed to the system before `append` resolves, so that a process that is killed loses
 * at most the lines it was writing.
 */
export class JsonLinesWriter {
  readonly #path: string
  readonly #file: FileHandle
  #size: number
  /** Lines given while a write is under way go together into the next one. */
  #waiting: string[] = []
  #draining: Promise<void> | undefined

  private constructor(path: string, file: FileHandle, size: number) {
    this.#path = path
    this.#file = file
    this.#size = size
  }

  /**
   * Opens a file to append to; it is made if it is missing.
   *
   * @param keepBytes cuts the file to so many bytes first; defaults to all it has
   * @throws MagrpoError `ERR_RUN` if that is not possible
   */
  static async open(path: string, keepBytes = Number.POSITIVE_INFINITY): Promise<JsonLinesWriter> {
    const failed = (cause: unknown) => {
      throw cannotWrite(path, cause)
    }
    const file = await open(path, 'a').catch(failed)
    try {
      const { size } = await file.stat()
      if (keepBytes < size) await file.truncate(keepBytes).catch(failed)
      return new JsonLinesWriter(path, file, Math.min(keepBytes, size))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Bytes of the file: those of whole lines that were written. */
  get size(): number {
    return this.#size
  }

  /**
   * Appends values, one line each, in one write. Numbers that are not finite become null.
   *
   * @throws MagrpoError `ERR_RUN`, for example on a full disk
   */
  async append(...values: unknown[]): Promise<void> {
    if (values.length === 0) return
    this.#waiting.push(values.map((value) => `${JSON.stringify(value)}\n`).join(''))
    this.#draining ??= this.#drain()
    await this.#draining
  }

  async #drain(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const bytes = Buffer.from(this.#waiting.splice(0).join(''))
        await this.#file.appendFile(bytes)
        this.#size += bytes.length
      }
    } catch (cause) {
      // Half a line would spoil the next one.
      await this.#file.truncate(this.#size).catch(() => {})
      throw cannotWrite(this.#path, cause)
    } finally {
      this.#draining = undefined
    }
  }

  /** Hands everything to the disk. */
  async sync(): Promise<void> {
    await this.#file.datasync().catch((cause: unknown) => {
      throw cannotWrite(this.#path, cause)
    })
  }

  /** Hands everything to the disk and closes the file. */
  async close(): Promise<void> {
    try {
      await this.sync()
    } finally {
      await this.#file.close()
    }
  }
}
