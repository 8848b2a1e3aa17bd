/** A run that makes room for another one in its place. */
import { lstat, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cannotWrite } from '../base/cannot-write.ts'
import { MagrpoError } from '../base/errors.ts'
import { RunLock } from '../base/file-lock.ts'
import { runFiles } from './run-folder.ts'
import { readRunInfo } from './run-info.ts'

/** Names in a run folder that a run, its report or its trackers write; with what an interrupted write leaves. */
const isOfRun = (entry: string): boolean => {
  const name = entry.replace(/\.(writing|old)$/, '')
  return (
    (Object.values(runFiles) as string[]).includes(name) ||
    name === 'report.html' ||
    name.startsWith('events.out.tfevents.') ||
    name.startsWith(`${runFiles.lock}.`)
  )
}

/** A run folder that stands aside until the run that replaces it begins, so that one that never does costs nothing. */
export class ReplacedRun {
  readonly #path: string
  readonly #aside: string
  readonly #lock: RunLock
  #isGone = false

  private constructor(path: string, aside: string, lock: RunLock) {
    this.#path = path
    this.#aside = aside
    this.#lock = lock
  }

  /**
   * Renames the run folder at `path` to one beside it.
   *
   * @returns undefined if there is nothing, or an empty folder
   * @throws MagrpoError `ERR_RUN_EXISTS` if it is no run folder or holds what no run writes, `ERR_RUN_LOCKED` if a process works on
   *   it, `ERR_RUN_VERSION` if it is of a newer version, `ERR_RUN` if it cannot be moved; it is left alone then
   */
  static async putAside(path: string): Promise<ReplacedRun | undefined> {
    const found = await lstat(path).catch(() => undefined)
    if (found === undefined) return undefined
    if (!found.isDirectory()) throw refusal(path, 'it is no folder')
    const entries = await readdir(path)
    if (entries.length === 0) return undefined
    await readRunInfo(path).catch((error: MagrpoError) => {
      throw error.code === 'ERR_RUN' ? refusal(path, error.message, error) : error
    })
    const others = entries.filter((entry) => !isOfRun(entry))
    if (others.length > 0) throw refusal(path, `it also holds ${others.slice(0, 3).join(', ')}, which is of no run`)
    const lock = await RunLock.take(join(path, runFiles.lock))
    const aside = `${path}.replaced-${process.pid}`
    try {
      await rename(path, aside)
    } catch (cause) {
      await lock.release()
      throw cannotWrite(path, cause)
    }
    return new ReplacedRun(path, aside, lock)
  }

  /** Removes it: the new run begins. */
  async remove(): Promise<void> {
    this.#isGone = true
    await rm(this.#aside, { recursive: true, force: true }).catch((cause: unknown) => {
      throw cannotWrite(this.#aside, cause)
    })
  }

  /** Puts it back, unless it was removed: the new run did not begin. */
  async restore(): Promise<void> {
    if (this.#isGone) return
    await rename(this.#aside, this.#path).catch((cause: unknown) => {
      throw cannotWrite(this.#aside, cause)
    })
    await this.#lock.release()
  }
}

function refusal(path: string, why: string, cause?: unknown): MagrpoError {
  const message = `Only a run folder is replaced, but ${path} is left alone: ${why}. Choose another with --run-dir.`
  return new MagrpoError('ERR_RUN_EXISTS', message, { details: { path }, cause })
}
