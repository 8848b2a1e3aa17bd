import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { stringify } from 'yaml'
import { cannotWrite } from '../base/cannot-write.ts'
import { MagrpoError } from '../base/errors.ts'
import { lockedError, lockOwner, RunLock } from '../base/file-lock.ts'
import { ifMissing } from '../base/if-missing.ts'
import { makeFolder } from '../base/make-folder.ts'
import { readFile } from '../base/read-files.ts'
import { syncPath } from './checksums.ts'
import { type RunInfo, readRunInfo, runInfoFile } from './run-info.ts'

/** What a run folder holds, by name. */
export const runFiles = {
  /** Format, origin and the configuration as it was given; written first. */
  info: runInfoFile,
  /** Names the process that works on the folder. */
  lock: 'lock.json',
  /** Fully resolved configuration; `magrpo train` takes it as it is. */
  config: 'config.yaml',
  /** Versions, device, threads, command line. */
  environment: 'environment.json',
  /** One line per step and per evaluation; nothing in it depends on the clock. */
  metrics: 'metrics.jsonl',
  /** Times and memory of the same lines. */
  timings: 'timings.jsonl',
  /** Prompts, completions, reward parts, advantages. */
  samples: 'samples.jsonl',
  /** Every verdict, as it came. */
  rewards: 'rewards.jsonl',
  /** Where the run can be taken up again, see `checkpoint-store.ts`. */
  checkpoints: 'checkpoints',
  /** How the run ended; written last. */
  result: 'result.json',
  /** Weights after the last step, one folder per agent. */
  final: 'final',
  /** Weights that were best on the held-out items. */
  best: 'best',
} as const

/** A folder that holds one run, and that this process alone works on until {@link release}. */
export class RunFolder {
  readonly path: string
  /** Whether the run was begun by an earlier process. */
  readonly isResumed: boolean
  readonly #isNew: boolean
  readonly #lock: RunLock

  private constructor(path: string, lock: RunLock, how: 'made' | 'taken' | 'resumed') {
    this.path = path
    this.isResumed = how === 'resumed'
    this.#isNew = how === 'made'
    this.#lock = lock
  }

  /**
   * Makes the folder of a new run. An empty folder that is there already is taken.
   *
   * @throws MagrpoError `ERR_RUN_EXISTS` if there is something at this path, `ERR_RUN_LOCKED` if that is a run that goes on,
   *   `ERR_RUN` if it cannot be made
   */
  static async create(path: string): Promise<RunFolder> {
    await makeFolder(dirname(path)).catch((cause: unknown) => {
      throw cannotWrite(dirname(path), cause)
    })
    try {
      await mkdir(path)
      return new RunFolder(path, await takeLock(path), 'made')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw cause instanceof MagrpoError ? cause : cannotWrite(path, cause)
      }
    }
    const entries = await readdir(path).catch(() => undefined)
    const owner = await lockOwner(join(path, runFiles.lock)).catch(() => undefined)
    if (owner) throw lockedError(join(path, runFiles.lock), owner)
    if (entries?.every(isBeginning)) return new RunFolder(path, await takeLock(path), 'taken')
    const what = entries === undefined ? 'is a file' : 'exists already and is not empty'
    const message = `The run folder ${path} ${what}. Choose another with --run-dir, go on with it (magrpo resume), or replace it (--overwrite).`
    throw new MagrpoError('ERR_RUN_EXISTS', message, { details: { path } })
  }

  /**
   * Opens the folder of a run that was begun, to go on with it; what a killed process left half done is put in order.
   *
   * @throws MagrpoError `ERR_RUN` if there is no run or the folder cannot be written, `ERR_RUN_VERSION`, `ERR_RUN_LOCKED`
   */
  static async resume(path: string): Promise<RunFolder> {
    await readRunInfo(path)
    const folder = new RunFolder(path, await takeLock(path), 'resumed')
    try {
      for (const name of [runFiles.best, runFiles.final]) await folder.#restore(name)
    } catch (error) {
      await folder.release()
      throw cannotWrite(path, error)
    }
    return folder
  }

  /** Lets other processes work on the folder; idempotent. */
  async release(): Promise<void> {
    await this.#lock.release()
  }

  /** Path of something inside the folder. */
  file(name: string): string {
    return join(this.path, name)
  }

  /** Writes `run.json`. */
  async writeInfo(info: RunInfo): Promise<void> {
    await this.writeJson(runFiles.info, info)
  }

  /** Writes `config.yaml`. */
  async writeConfig(config: unknown): Promise<void> {
    await this.#write(runFiles.config, stringify(config))
  }

  /** Reads a JSON file; undefined where there is none. */
  async readJson<T>(name: string): Promise<T | undefined> {
    try {
      return JSON.parse(await readFile(this.file(name), 'utf8', 'ERR_RUN')) as T
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      const message = `${this.file(name)} cannot be read: ${(cause as Error).message}.`
      throw new MagrpoError('ERR_RUN', message, { details: { path: this.file(name) }, cause })
    }
  }

  /** Removes a file, if there is one. */
  async remove(name: string): Promise<void> {
    await rm(this.file(name), { force: true }).catch((cause: unknown) => {
      throw cannotWrite(this.file(name), cause)
    })
  }

  /** Writes a JSON file. */
  async writeJson(name: string, value: unknown): Promise<void> {
    await this.#write(name, `${JSON.stringify(value, null, 2)}\n`)
  }

  /**
   * Fills a folder inside the run folder through `write`, in place of what it held before. It is written beside and renamed when
   * it is complete, so that an interrupted write leaves the old one.
   */
  async replaceFolder(name: string, write: (directory: string) => Promise<void>): Promise<void> {
    const target = this.file(name)
    const fresh = `${target}.writing`
    const old = `${target}.old`
    try {
      await rm(fresh, { recursive: true, force: true })
      await mkdir(fresh)
      await write(fresh)
      await rm(old, { recursive: true, force: true })
      await rename(target, old).catch(ifMissing(undefined))
      await rename(fresh, target)
      await rm(old, { recursive: true, force: true })
    } catch (error) {
      await rm(fresh, { recursive: true, force: true }).catch(() => {})
      throw isSystemError(error) ? cannotWrite(target, error) : error
    }
  }

  /** Undoes a {@link replaceFolder} that did not come to its end: the old folder stays unless the new one has its name. */
  async #restore(name: string): Promise<void> {
    const target = this.file(name)
    await rm(`${target}.writing`, { recursive: true, force: true })
    if (existsSync(target)) await rm(`${target}.old`, { recursive: true, force: true })
    else await rename(`${target}.old`, target).catch(ifMissing(undefined))
  }

  /** Removes the folder again: the run failed before it did anything. Files are removed if the folder was there before. */
  async discard(): Promise<void> {
    if (this.#isNew) return rm(this.path, { recursive: true, force: true })
    for (const name of Object.values(runFiles)) await rm(this.file(name), { recursive: true, force: true })
  }

  /** The folder as a person would type it here. */
  get display(): string {
    const fromHere = relative(process.cwd(), this.path)
    return fromHere !== '' && !fromHere.startsWith('..') ? fromHere : this.path
  }

  async #write(name: string, text: string): Promise<void> {
    const fresh = `${this.file(name)}.writing`
    try {
      // What a killed process left goes first, so that nothing there, such as a link, is written through.
      await rm(fresh, { force: true })
      await writeFile(fresh, text, { flag: 'wx', flush: true })
      await rename(fresh, this.file(name))
      await syncPath(this.path)
    } catch (cause) {
      await rm(fresh, { force: true }).catch(() => {})
      throw cannotWrite(this.file(name), cause)
    }
  }
}

/** What a process may leave that was killed before it said what run this is. */
const isBeginning = (name: string) => name.startsWith(runFiles.lock) || name === `${runFiles.info}.writing`

const takeLock = (path: string) => RunLock.take(join(path, runFiles.lock))

const isSystemError = (error: unknown) =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string'
