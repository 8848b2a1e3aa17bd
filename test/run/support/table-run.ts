/** Recorded runs of the table engine: a run of some steps takes milliseconds. */
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { type Run, startRun } from '../../../lib/rl/run.ts'
import type { TrainOptions } from '../../../lib/rl/train-options.ts'
import type { RunSink } from '../../../lib/rl/types/sink.ts'
import { RunFolder } from '../../../lib/run/run-folder.ts'
import { runFormat } from '../../../lib/run/run-info.ts'
import { type RecorderOptions, RunRecorder } from '../../../lib/run/run-recorder.ts'
import { TableEngine, tableBackend } from '../../rl/support/table-engine.ts'
import { complementTask, type ToyItem } from '../../rl/support/toy-task.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

/** Settings of {@link tableRun}. */
export interface TableRunOptions {
  /** Go on with the run in the folder. */
  resume?: boolean
  train?: Partial<TrainOptions<ToyItem>>
  recorder?: RecorderOptions
  /** Besides the recorder. */
  sinks?: RunSink[]
  /** What the writing of weights waits for when they are taken. */
  hold?: (directory: string) => Promise<void>
}

/** A run over a fresh engine, recorded in a folder; checkpoints come every 3 of 11 steps, evaluations every 2. */
export async function tableRun(path: string, { resume, train, recorder, sinks = [], hold }: TableRunOptions = {}) {
  const folder = resume ? await RunFolder.resume(path) : await RunFolder.create(path)
  if (!resume) await folder.writeInfo({ format: runFormat, magrpo: 'test', origin: 'code', cwd: process.cwd() })
  const engine = new TableEngine(2, { prompts: 2, positions: 1, tokens: 3 })
  const backend = tableBackend(engine, ['left', 'right'])
  const { weights } = backend
  const write: typeof weights.write = async (directory, policies) => {
    await Promise.all([weights.write(directory, policies), hold?.(directory)])
  }
  const save = async (directory: string) => {
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'weights.json'), JSON.stringify([engine.stateOf(0), engine.stateOf(1)]))
  }
  const options = { task: complementTask(), optimizer: { learningRate: 1 }, steps: 11, evalEvery: 2, ...train }
  const recording = new RunRecorder(folder, { checkpointEvery: 3, task: options.task, ...recorder })
  const run = startRun({ ...backend, save, weights: { ...weights, write } }, { ...options, sinks }, recording)
  return { folder, engine, run }
}

/** A temporary folder in memory, where the system has one: these runs wait for nothing but the disk. */
export async function memoryFolder(t: ExecutionContext): Promise<string> {
  if (!existsSync('/dev/shm')) return temporaryFolder(t)
  const folder = await mkdtemp('/dev/shm/magrpo-test-')
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Drives a run to its end. */
export async function exhaust(run: Run): Promise<void> {
  for await (const _ of run) {
    // Recorded by the sink.
  }
}

/** Checksums of what a run must come to, however often it was interrupted. */
export function outcomeOf(path: string): Record<string, string> {
  const names = ['metrics.jsonl', 'samples.jsonl', ...filesBelow(path, 'final'), ...filesBelow(path, 'best')]
  return Object.fromEntries(
    names.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(path, name)))
        .digest('hex'),
    ]),
  )
}

function filesBelow(root: string, name: string): string[] {
  const path = join(root, name)
  if (!statSync(path).isDirectory()) return [name]
  return readdirSync(path).flatMap((entry) => filesBelow(root, join(name, entry)))
}

/** Takes pictures of a folder as a killed process would leave it, its lock included. */
export class CrashPictures {
  readonly paths: string[] = []
  readonly #of: string
  readonly #into: string

  constructor(of: string, into: string) {
    this.#of = of
    this.#into = into
  }

  /** Takes one. JavaScript stands still meanwhile; file operations that are under way may come to their end. */
  take(): void {
    const path = join(this.#into, `picture-${this.paths.length}`)
    while (!this.#copy(path)) rmSync(path, { recursive: true })
    this.#bury(join(path, 'lock.json'))
    this.paths.push(path)
  }

  /** Checkpoints first: one that comes while the copy goes on must not be seen beside lines that are older. */
  #copy(path: string): boolean {
    mkdirSync(path)
    const names = readdirSync(this.#of).sort((a, b) => Number(b === 'checkpoints') - Number(a === 'checkpoints'))
    try {
      for (const name of names) cpSync(join(this.#of, name), join(path, name), { recursive: true })
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
  }

  /** Makes the lock one of a process that is gone. */
  #bury(lock: string): void {
    if (!existsSync(lock)) return
    const owner = JSON.parse(readFileSync(lock, 'utf8')) as object
    writeFileSync(lock, JSON.stringify({ ...owner, process: 'an earlier process' }))
  }
}
