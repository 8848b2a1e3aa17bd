/** `run.json`: what a run folder is, written first. Whoever opens a run folder looks here before anywhere else. */
import { join } from 'node:path'
import { MagrpoError } from '../base/errors.ts'
import { readFile } from '../base/read-files.ts'

/**
 * Version of the layout of run folders and checkpoints, and of what a configuration means where it says nothing. A change that older
 * code cannot read, or would read otherwise, raises it.
 */
export const runFormat = 2

/** What `run.json` says. */
export interface RunInfo {
  format: number
  /** Version of magrpo that made the folder. */
  magrpo: string
  /** `config`: by `magrpo train`, and `config` is all it needs; `code`: by a program that has to give team and task again. */
  origin: 'config' | 'code'
  /** The configuration as it was given, before training filled in what depends on task and team. */
  config?: unknown
  /** Folder that its paths are relative to. */
  cwd: string
}

/** Name of the file. */
export const runInfoFile = 'run.json'

/**
 * Reads `run.json`.
 *
 * @throws MagrpoError `ERR_RUN` if the folder holds no run, `ERR_RUN_VERSION` if it is of a newer version
 */
export async function readRunInfo(folder: string): Promise<RunInfo> {
  const file = join(folder, runInfoFile)
  const fail = (what: string, cause?: unknown): never => {
    throw new MagrpoError('ERR_RUN', `${folder} is not a run folder that can be resumed: ${what}.`, {
      details: { path: folder },
      cause,
    })
  }
  const text = await readFile(file, 'utf8', 'ERR_RUN').catch((cause: NodeJS.ErrnoException) =>
    fail(cause.code === 'ENOENT' ? `it has no ${runInfoFile}` : cause.message, cause),
  )
  let info: Partial<RunInfo> | null = null
  try {
    info = JSON.parse(text) as RunInfo
  } catch (cause) {
    fail(`${runInfoFile} is not JSON (${(cause as Error).message})`, cause)
  }
  const format = info?.format
  if (!Number.isInteger(format)) fail(`${runInfoFile} has no number of a format`)
  if ((format as number) > runFormat)
    throw new MagrpoError(
      'ERR_RUN_VERSION',
      `The run folder ${folder} is of magrpo ${info?.magrpo} (format ${format}), but this is a version that reads formats up to ` +
        `${runFormat}. Nothing was changed; use the newer version.`,
      { details: { path: folder, format, supported: runFormat, magrpo: info?.magrpo } },
    )
  if (info?.origin !== 'config' && info?.origin !== 'code') fail(`${runInfoFile} does not say how the run was begun`)
  return info as RunInfo
}

/**
 * For what reads a run folder without going on with the run.
 *
 * @throws MagrpoError `ERR_RUN_VERSION`; nothing else that may be wrong with `run.json` is in the way of reading the rest
 */
export async function refuseNewerRun(folder: string): Promise<void> {
  await readRunInfo(folder).catch((error: unknown) => {
    if (error instanceof MagrpoError && error.code === 'ERR_RUN_VERSION') throw error
  })
}
