import { MagrpoError } from '../base/errors.ts'
import { packageVersion } from '../base/package-version.ts'
import { RunFolder } from '../run/run-folder.ts'
import { type RunInfo, runFormat } from '../run/run-info.ts'

/** What to do where there is a run already: throw, give the new one a number (`runs/story-2`), or put it in the other's place. */
export type IfThere = 'refuse' | 'number' | 'replace'

/** The folder of a new run at `path`, or at the first of `path-2`, `path-3` and so on that is free. */
export async function createNumbered(path: string): Promise<RunFolder> {
  for (let number = 1; ; number++) {
    try {
      return await RunFolder.create(number === 1 ? path : `${path}-${number}`)
    } catch (error) {
      const isTaken = error instanceof MagrpoError && ['ERR_RUN_EXISTS', 'ERR_RUN_LOCKED'].includes(error.code)
      if (!isTaken) throw error
    }
  }
}

/**
 * Makes the folder of a new run and says in it what run this is.
 *
 * @param create makes the folder
 * @throws as `RunFolder.create`; MagrpoError `ERR_RUN` if it cannot be written, and it is taken back then
 */
export async function createRunFolder(
  path: string,
  { origin, config }: Pick<RunInfo, 'origin'> & { config?: Record<string, unknown> },
  create: (path: string) => Promise<RunFolder> = RunFolder.create,
): Promise<RunFolder> {
  const folder = await create(path)
  try {
    await folder.writeInfo({
      format: runFormat,
      magrpo: await packageVersion(),
      origin,
      cwd: process.cwd(),
      config: config && { ...config, runDir: folder.path },
    })
    return folder
  } catch (error) {
    await folder.discard()
    throw error
  }
}
