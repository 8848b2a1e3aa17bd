import { type FileHandle, open } from 'node:fs/promises'

/**
 * Appends JSON lines to a file. Each line is handed to the system in one write before `append` resolves, so that a process
 * that is killed loses at most the line it was writing.
 */
export class JsonLinesWriter {
  readonly #file: FileHandle

  private constructor(file: FileHandle) {
    this.#file = file
  }

  /** Opens a file to append to; it is made if it is missing. */
  static async open(path: string): Promise<JsonLinesWriter> {
    return new JsonLinesWriter(await open(path, 'a'))
  }

  /** Appends values, one line each, in one write. Numbers that are not finite become null. */
  async append(...values: unknown[]): Promise<void> {
    if (values.length > 0) await this.#file.appendFile(values.map((value) => `${JSON.stringify(value)}\n`).join(''))
  }

  /** Hands everything to the disk and closes the file. */
  async close(): Promise<void> {
    await this.#file.sync()
    await this.#file.close()
  }
}
