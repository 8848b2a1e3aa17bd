/** How a policy's files reach the disk: whole or not at all, with errors that name the folder. */
import { rename, rm } from 'node:fs/promises'
import { MagrpoError } from './errors.ts'

/**
 * Runs `write`, which writes into `folder`.
 *
 * @throws MagrpoError `ERR_RUN` for what the system reports
 */
export async function writing<T>(folder: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (cause) {
    if (!(cause instanceof Error) || cause instanceof MagrpoError) throw cause
    throw new MagrpoError('ERR_RUN', `Cannot write to the folder ${folder}: ${cause.message}.`, {
      details: { file: folder },
      cause,
    })
  }
}

/** Lets `write` write a file beside `file` and moves it there when it is whole, so that no half-written file stays. */
export async function replaceFile(file: string, write: (part: string) => Promise<void>): Promise<void> {
  const part = `${file}.part`
  try {
    await write(part)
    await rename(part, file)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}
