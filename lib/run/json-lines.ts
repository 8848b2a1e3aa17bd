import { type FileHandle, open } from 'node:fs/promises'
import { cannotWrite } from './cannot-write.ts'

/**
 * Appends JSON lines to a file. Each line is handed to the system in one write before `append` resolves, so that a process
 * that is killed loses at most the line it was writing.
 */
export class JsonLinesWriter {
  readonly #path: string
  readonly #file: FileHandle

  private constructor(path: string, file: FileHandle) {
    this.#path = path
    this.#file = file
  }

  /**
   * Opens a file to append to; it is made if it is missing.
   *
   * @throws MagrpoError `ERR_RUN` if that is not possible
   */
  static async open(path: string): Promise<JsonLinesWriter> {
    const file = await open(path, 'a').catch((cause: unknown) => {
      throw cannotWrite(path, cause)
    })
    return new JsonLinesWriter(path, file)
  }

  /**
   * Appends values, one line each, in one write. Numbers that are not finite become null.
   *
   * @throws MagrpoError `ERR_RUN`, for example on a full disk
   */
  async append(...values: unknown[]): Promise<void> {
    if (values.length === 0) return
    const lines = values.map((value) => `${JSON.stringify(value)}\n`).join('')
    await this.#file.appendFile(lines).catch((cause: unknown) => {
      throw cannotWrite(this.#path, cause)
    })
  }

  /** Hands everything to the disk and closes the file. */
  async close(): Promise<void> {
    await this.#file.sync()
    await this.#file.close()
  }
}
