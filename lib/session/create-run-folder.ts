import { packageVersion } from '../run/environment.ts'
import { RunFolder } from '../run/run-folder.ts'
import { type RunInfo, runFormat } from '../run/run-info.ts'

/**
 * Makes the folder of a new run and says in it what run this is.
 *
 * @throws as `RunFolder.create`; MagrpoError `ERR_RUN` if it cannot be written, and it is taken back then
 */
export async function createRunFolder(
  path: string,
  { origin, config }: Pick<RunInfo, 'origin' | 'config'>,
): Promise<RunFolder> {
  const folder = await RunFolder.create(path)
  try {
    await folder.writeInfo({ format: runFormat, magrpo: await packageVersion(), origin, cwd: process.cwd(), config })
    return folder
  } catch (error) {
    await folder.discard()
    throw error
  }
}
