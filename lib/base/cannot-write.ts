import { lstat } from 'node:fs/promises'
import { MagrpoError } from './errors.ts'

/** The error of a file or folder of a run that cannot be written. */
export function cannotWrite(path: string, cause: unknown): MagrpoError {
  const message = `${path} cannot be written: ${(cause as Error).message}.`
  return new MagrpoError('ERR_RUN', message, { details: { path }, cause })
}

/**
 * Refuses a symbolic link where a run writes: it may lead to files that belong to nobody's run.
 *
 * @throws MagrpoError `ERR_RUN` for a link, wherever it leads; nothing for what is missing or anything else
 */
export async function refuseLink(path: string): Promise<void> {
  const stats = await lstat(path).catch(() => undefined)
  if (stats?.isSymbolicLink())
    throw cannotWrite(
      path,
      new Error('it is a link, and links inside a run folder are not followed; replace it by what it leads to'),
    )
}
