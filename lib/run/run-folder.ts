import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { stringify } from 'yaml'
import { MagrpoError } from '../errors.ts'
import { cannotWrite } from './cannot-write.ts'

/** What a run folder holds, by name. */
export const runFiles = {
  /** Fully resolved configuration; `magrpo train` takes it as it is. */
  config: 'config.yaml',
  /** Versions, device, threads, command line. */
  environment: 'environment.json',
  /** One line a step and one an evaluation; nothing in it depends on the clock. */
  metrics: 'metrics.jsonl',
  /** Times and memory of the same lines. */
  timings: 'timings.jsonl',
  /** Prompts, completions, reward parts, advantages. */
  samples: 'samples.jsonl',
  /** How the run ended; written last. */
  result: 'result.json',
  /** Weights after the last step, one folder an agent. */
  final: 'final',
  /** Weights that were best on the held-out items. */
  best: 'best',
} as const

/** A folder that holds one run. */
export class RunFolder {
  readonly path: string
  readonly #isNew: boolean

  private constructor(path: string, isNew: boolean) {
    this.path = path
    this.#isNew = isNew
  }

  /**
   * Makes the folder of a new run. An empty folder that is there already is taken.
   *
   * @throws MagrpoError `ERR_RUN_EXISTS` if there is something at this path, `ERR_RUN` if it cannot be made
   */
  static async create(path: string): Promise<RunFolder> {
    await mkdir(dirname(path), { recursive: true }).catch((cause: unknown) => {
      throw cannotWrite(dirname(path), cause)
    })
    try {
      await mkdir(path)
      return new RunFolder(path, true)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cannotWrite(path, cause)
    }
    const entries = await readdir(path).catch(() => undefined)
    if (entries?.length === 0) return new RunFolder(path, false)
    const what = entries === undefined ? 'is a file' : 'exists already and is not empty'
    const message = `The run folder ${path} ${what}. Choose another with --run-dir, or remove it if it is no longer needed.`
    throw new MagrpoError('ERR_RUN_EXISTS', message, { details: { path } })
  }

  /** Path of something inside the folder. */
  file(name: string): string {
    return join(this.path, name)
  }

  /** Writes `config.yaml`. */
  async writeConfig(config: unknown): Promise<void> {
    await this.#write(runFiles.config, stringify(config))
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
    await rm(fresh, { recursive: true, force: true })
    await mkdir(fresh)
    await write(fresh)
    await rm(old, { recursive: true, force: true })
    await rename(target, old).catch(ignoreMissing)
    await rename(fresh, target)
    await rm(old, { recursive: true, force: true })
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
      const file = await open(fresh, 'w')
      try {
        await file.writeFile(text)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(fresh, this.file(name))
    } catch (cause) {
      throw cannotWrite(this.file(name), cause)
    }
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
