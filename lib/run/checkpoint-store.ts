/**
 * `checkpoints/`: one folder `step-N` a checkpoint. A checkpoint is written beside, synced, and renamed when it is whole, so that a
 * name `step-N` never stands for half of one; checksums tell what was damaged later.
 */
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { cannotWrite, refuseLink } from '../base/cannot-write.ts'
import { MagrpoError } from '../base/errors.ts'
import { ifMissing } from '../base/if-missing.ts'
import { readFile } from '../base/read-files.ts'
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { RunState } from '../rl/types/sink.ts'
import { type FileSums, findDamage, sumFiles, syncPath } from './checksums.ts'
import { withFormerDefaults } from './former-defaults.ts'
import { runFormat } from './run-info.ts'

/** Bytes of whole lines that belong to the steps of a checkpoint, by file. */
export type LineBytes = Record<string, number>

/** `state.json` of a checkpoint. */
export interface CheckpointState {
  run: RunState
  /** The options of the run; a run that goes on with others would not be the same. */
  options: ResolvedTrainOptions
  /** Where the data stands: full passes over the items, and items of the next one that were used. */
  data: { epoch: number; position: number; items: string; heldOut: string }
  lines: LineBytes
}

/** A checkpoint that was found whole. */
export interface Checkpoint {
  step: number
  directory: string
  state: CheckpointState
}

/** What a search for the newest checkpoint found. */
export interface Found {
  checkpoint: Checkpoint | null
  /** Newer ones that cannot be used, and why. */
  damaged: { step: number; directory: string; reason: string }[]
}

const files = { state: 'state.json', manifest: 'manifest.json' }

interface Manifest {
  format: number
  step: number
  files: FileSums
}

/** The checkpoints of one run. */
export class CheckpointStore {
  readonly path: string

  /** @param path the folder `checkpoints/`; it is made when it is needed, the run folder around it is not */
  constructor(path: string) {
    this.path = path
  }

  /**
   * Writes a checkpoint. `begin` is called with the folder to write weights into, once that exists; what it returns is awaited.
   *
   * @throws MagrpoError `ERR_RUN` if it cannot be written, or the folder of checkpoints is a link; nothing is left of it then
   */
  async write(state: CheckpointState, begin: (directory: string) => Promise<void>): Promise<void> {
    const { step } = state.run
    const target = join(this.path, `step-${step}`)
    const fresh = join(this.path, `.step-${step}.writing`)
    try {
      await refuseLink(this.path)
      await mkdir(this.path).catch(ifThere)
      await rm(fresh, { recursive: true, force: true })
      await mkdir(fresh)
      await begin(fresh)
      await writeFile(join(fresh, files.state), JSON.stringify(state))
      const manifest: Manifest = { format: runFormat, step, files: await sumFiles(fresh) }
      for (const name of Object.keys(manifest.files)) await syncPath(join(fresh, name))
      await writeFile(join(fresh, files.manifest), `${JSON.stringify(manifest, null, 2)}\n`, { flush: true })
      await syncPath(fresh)
      await this.#remove(target)
      await rename(fresh, target)
      await syncPath(this.path)
      await syncPath(dirname(this.path))
    } catch (error) {
      await rm(fresh, { recursive: true, force: true }).catch(() => {})
      throw error instanceof MagrpoError ? error : cannotWrite(target, error)
    }
  }

  /** The newest checkpoint that is whole, and those that are newer but are not. */
  async newest(): Promise<Found> {
    const damaged: Found['damaged'] = []
    for (const step of (await this.steps()).reverse()) {
      const directory = join(this.path, `step-${step}`)
      const checked = await check(directory, step)
      if (typeof checked !== 'string') return { checkpoint: { step, directory, state: checked }, damaged }
      damaged.push({ step, directory, reason: checked })
    }
    return { checkpoint: null, damaged }
  }

  /** Removes all but the newest `count` and those of the steps named. */
  async prune(count: number, kept: readonly number[]): Promise<void> {
    const steps = await this.steps()
    for (const step of steps.slice(0, Math.max(0, steps.length - count)))
      if (!kept.includes(step)) await this.#remove(join(this.path, `step-${step}`))
  }

  /** Takes a damaged checkpoint out of the way; returns where it is now. */
  async setAside(step: number): Promise<string> {
    const kept = join(this.path, `step-${step}.damaged`)
    await rm(kept, { recursive: true, force: true })
    await rename(join(this.path, `step-${step}`), kept)
    return kept
  }

  /** Removes what a process that was killed left half done. */
  async tidy(): Promise<void> {
    for (const name of await this.#names())
      if (/^\.step-/.test(name)) await rm(join(this.path, name), { recursive: true, force: true })
  }

  /** Steps of all checkpoints, whole or damaged, in rising order. */
  async steps(): Promise<number[]> {
    const names = await this.#names()
    return names
      .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b)
  }

  async #names(): Promise<string[]> {
    return readdir(this.path).catch(ifMissing<string[]>([]))
  }

  /** Renamed first: a process that is killed while it removes leaves no half of a checkpoint under its name. */
  async #remove(directory: string): Promise<void> {
    const aside = join(this.path, `.${basename(directory)}.removing`)
    await rm(aside, { recursive: true, force: true })
    await rename(directory, aside).catch(ifMissing(undefined))
    await rm(aside, { recursive: true, force: true })
  }
}

function ifThere(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}

/** The state of a checkpoint, or what is wrong with it. */
async function check(directory: string, step: number): Promise<CheckpointState | string> {
  const manifest = await readJson<Manifest>(join(directory, files.manifest))
  if (typeof manifest === 'string') return manifest
  if (!Number.isInteger(manifest.format) || typeof manifest.files !== 'object' || manifest.files === null)
    return `${files.manifest} is no manifest`
  if (manifest.format > runFormat) return `it is of a newer format (${manifest.format})`
  if (manifest.step !== step) return `its manifest is that of step ${manifest.step}`
  if (manifest.files[files.state] === undefined) return `${files.manifest} does not list ${files.state}`
  const damage = await findDamage(directory, manifest.files)
  if (damage !== undefined) return damage
  const state = await readJson<CheckpointState>(join(directory, files.state))
  if (typeof state === 'string' || manifest.format > 1) return state
  return { ...state, options: withFormerDefaults({ ...state.options }) as unknown as CheckpointState['options'] }
}

async function readJson<T extends object>(file: string): Promise<T | string> {
  const name = basename(file)
  let text: string
  try {
    text = await readFile(file, 'utf8', 'ERR_CHECKPOINT')
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? `${name} is missing` : (error as Error).message
  }
  try {
    const value = JSON.parse(text) as T | null
    return typeof value === 'object' && value !== null ? value : `${name} is no object`
  } catch {
    return `${name} is not JSON`
  }
}
