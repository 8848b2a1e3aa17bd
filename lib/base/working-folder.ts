import { existsSync } from 'node:fs'
import { MagrpoError } from './errors.ts'

/**
 * Checks that the folder this process works in is there: libtorch's mathematics library ends the process where it is not.
 *
 * @throws MagrpoError `ERR_ARGUMENT` if it was removed
 */
export function checkWorkingFolder(): void {
  let folder: string | undefined
  try {
    folder = process.cwd()
    if (existsSync(folder)) return
  } catch {
    // The system does not know its name any more.
  }
  const named = folder === undefined ? '' : ` (${folder})`
  throw new MagrpoError(
    'ERR_ARGUMENT',
    `The working directory${named} does not exist: it was removed or replaced. Change to a folder that is there, and try again.`,
  )
}
