import { constants, type Stats } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { cannotWrite, refuseLink } from './cannot-write.ts'
import { ifMissing } from './if-missing.ts'

/** To append, and to make what is missing. Links are not followed, and what nobody reads from is not waited for. */
const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants
const flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK

/**
 * Appends JSON lines to a file. Each line is handed to the system before `append` resolves, so that a process that is killed loses
 * at most the lines it was writing.
 */
export class JsonLinesWriter {
  readonly #path: string
  readonly #file: FileHandle
  /** Of the file as it was opened. */
  readonly #stats: Stats
  #size: number
  /** Lines given while a write is under way go together into the next one. */
  #waiting: string[] = []
  #draining: Promise<void> | undefined

  private constructor(path: string, file: FileHandle, stats: Stats, size: number) {
    this.#path = path
    this.#file = file
    this.#stats = stats
    this.#size = size
  }

  /**
   * Opens a file to append to; it is made if it is missing. A link is not followed.
   *
   * @param keepBytes cuts the file to so many bytes first; defaults to all it has
   * @throws MagrpoError `ERR_RUN` if that is not possible, or there is a link, pipe or device
   */
  static async open(path: string, keepBytes = Number.POSITIVE_INFINITY): Promise<JsonLinesWriter> {
    const failed = (cause: unknown) => {
      throw cannotWrite(path, cause)
    }
    const file = await open(path, flags).catch(async (cause: unknown) => {
      await refuseLink(path)
      return failed(cause)
    })
    try {
      const stats = await file.stat()
      if (!stats.isFile()) failed(new Error('it is a pipe or a device; expected a regular file'))
      const { size } = stats
      if (keepBytes < size) await file.truncate(keepBytes).catch(failed)
      return new JsonLinesWriter(path, file, stats, Math.min(keepBytes, size))
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
   * @throws MagrpoError `ERR_RUN`, for example on a full disk, or where the file was removed or moved away meanwhile
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
      await this.#checkPlace()
    } catch (cause) {
      // Half a line would spoil the next one.
      await this.#file.truncate(this.#size).catch(() => {})
      throw cannotWrite(this.#path, cause)
    } finally {
      this.#draining = undefined
    }
  }

  /**
   * Hands everything to the disk.
   *
   * @throws MagrpoError as {@link append}
   */
  async sync(): Promise<void> {
    try {
      await this.#file.datasync()
      await this.#checkPlace()
    } catch (cause) {
      throw cannotWrite(this.#path, cause)
    }
  }

  /** Writing to a file that has lost its name succeeds, and is lost. */
  async #checkPlace(): Promise<void> {
    const there = await lstat(this.#path).catch(ifMissing(undefined))
    if (there?.ino === this.#stats.ino && there.dev === this.#stats.dev) return
    throw new Error('it was removed, moved or replaced while it was being written')
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
