import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dataChecksum } from '../base/data-checksum.ts'
import { JsonLinesWriter } from '../base/json-lines.ts'
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { EvalReport, SampleRow, StepReport } from '../rl/types/reports.ts'
import type { OpenedRun, RunStore } from '../rl/types/run-store.ts'
import type { RunEnd, SaveTeam, Snapshot } from '../rl/types/sink.ts'
import type { Task } from '../tasks/task/types.ts'
import { type CheckpointOptions, checkpointSection } from './checkpoint-options.ts'
import { CheckpointStore, type LineBytes } from './checkpoint-store.ts'
import { Checkpointer } from './checkpointer.ts'
import { findResumePoint } from './resume-point.ts'
import { RewardLog } from './reward-log.ts'
import { type RunFolder, runFiles } from './run-folder.ts'

/** What `RunRecorder` can be told. */
export interface RecorderOptions extends CheckpointOptions {
  /** Whose data a run that is resumed must find again. */
  task?: Pick<Task, 'items' | 'heldOut'>
  /** Called with the options of the run as training resolved them, before any work. */
  onResolved?(options: ResolvedTrainOptions, folder: RunFolder): void | Promise<void>
  /** Takes what a person should know of a run that is resumed. */
  onWarning?(message: string): void
}

/** Files of lines that belong to steps; a run that is resumed cuts them to the lines of its checkpoint. */
const lineFiles = [runFiles.metrics, runFiles.timings, runFiles.samples]

/**
 * Records a run in its folder: `metrics.jsonl` and `timings.jsonl` (a line per step and per evaluation), `samples.jsonl`,
 * `rewards.jsonl`, checkpoints, the best weights in `best/`, and at the end `final/` and `result.json`. A run that was stopped
 * leaves its weights in `final/` too; `reason` in `result.json` tells.
 *
 * In a folder that was resumed it goes on where the newest checkpoint stands.
 */
export class RunRecorder implements RunStore {
  readonly #openFolder: () => Promise<RunFolder>
  readonly #options: RecorderOptions
  #opened?: RunFolder
  #lines = new Map<string, JsonLinesWriter>()
  #rewards?: RewardLog
  #checkpointer?: Checkpointer
  /** A line could not be written, or only some of those that belong together: no checkpoint may say that they are there. */
  #isBroken = false
  /** Whether training began: from here on the folder holds something. */
  started = false

  /** @param folder where to, or what makes it when training begins; it is released when training ends */
  constructor(folder: RunFolder | (() => Promise<RunFolder>), options: RecorderOptions = {}) {
    this.#openFolder = typeof folder === 'function' ? folder : async () => folder
    this.#options = options
  }

  async open(options: ResolvedTrainOptions): Promise<OpenedRun> {
    const folder = await this.#openFolder()
    this.#opened = folder
    const { task, onResolved, onWarning = () => {}, checkpointEvery, keepCheckpoints } = this.#options
    const data = {
      items: await dataChecksum(task?.items ?? []),
      heldOut: await dataChecksum(task?.heldOut ?? []),
    }
    const store = new CheckpointStore(folder.file(runFiles.checkpoints))
    const found = folder.isResumed ? await findResumePoint(folder, store, { options, data, onWarning }) : null
    await onResolved?.(options, folder)
    for (const name of lineFiles) {
      const keepBytes = found?.state.lines[name] ?? 0
      this.#lines.set(name, await JsonLinesWriter.open(folder.file(name), keepBytes))
    }
    const rewards = await RewardLog.open(folder.file(runFiles.rewards), found?.step ?? 0)
    this.#rewards = rewards
    await folder.remove(runFiles.result)
    this.#checkpointer = new Checkpointer({
      ...checkpointSection.parse({ checkpointEvery, keepCheckpoints }),
      store,
      options,
      data,
      origin: found?.state.run ?? null,
      lines: () => this.#lineBytes(),
      syncLines: () => Promise.all([...this.#lines.values()].map((writer) => writer.sync())),
    })
    this.started = true
    return { origin: found && { state: found.state.run, directory: found.directory }, rewards }
  }

  async onStep(report: StepReport): Promise<void> {
    const { index: step, warnings } = report
    await this.#write({ step, ...report.metrics, ...(warnings.length > 0 && { warnings }) }, report)
  }

  async onEval(report: EvalReport): Promise<void> {
    await this.#write({ step: report.index, ...report.metrics }, report)
  }

  async onBest(report: EvalReport, save: SaveTeam): Promise<void> {
    const { index: step, score, metrics } = report
    this.#isBroken = true
    await this.#folder.replaceFolder(runFiles.best, async (directory) => {
      await save(directory)
      await writeFile(join(directory, 'eval.json'), `${JSON.stringify({ step, score, metrics }, null, 2)}\n`)
    })
    this.#isBroken = false
  }

  async onSnapshot(snapshot: Snapshot): Promise<void> {
    await this.#checkpointer?.offer(snapshot)
  }

  async onEnd(end: RunEnd, save: SaveTeam, snapshot: Snapshot | null): Promise<void> {
    try {
      if (this.started) await this.#finish(end, save, this.#isBroken ? null : snapshot)
    } finally {
      for (const writer of this.#lines.values()) await writer.close().catch(() => {})
      await this.#rewards?.close().catch(() => {})
      await this.#opened?.release()
    }
  }

  /** The result is written in any case; what failed before it is thrown after it. */
  async #finish(end: RunEnd, save: SaveTeam, snapshot: Snapshot | null): Promise<void> {
    const failures: unknown[] = []
    const attempt = (work: Promise<unknown> | undefined) => work?.catch((error: unknown) => failures.push(error))
    await attempt(this.#checkpointer?.finish(snapshot))
    const isOver = end.reason === 'finished' || end.reason === 'stopped'
    if (isOver && failures.length === 0) await attempt(this.#folder.replaceFolder(runFiles.final, save))
    for (const writer of this.#lines.values()) await attempt(writer.sync())
    const reason = isOver && failures.length > 0 ? 'failed' : end.reason
    await attempt(
      this.#folder.writeJson(runFiles.result, resultOf({ ...end, reason, error: end.error ?? failures[0] })),
    )
    if (failures.length > 0) throw failures[0]
  }

  get #folder(): RunFolder {
    if (!this.#opened) throw new Error('the run was not started')
    return this.#opened
  }

  #lineBytes(): LineBytes {
    return Object.fromEntries([...this.#lines].map(([name, writer]) => [name, writer.size]))
  }

  async #write(line: Record<string, unknown>, report: { timings: object; samples: SampleRow[] }): Promise<void> {
    this.#isBroken = true
    await this.#lines.get(runFiles.samples)?.append(...report.samples)
    await this.#lines.get(runFiles.timings)?.append({ step: line.step, ...report.timings })
    await this.#lines.get(runFiles.metrics)?.append(line)
    this.#isBroken = false
  }
}

function resultOf({ reason, steps, seconds, error, best, last }: RunEnd): Record<string, unknown> {
  const evaluation = (report: EvalReport | null) =>
    report && { step: report.index, score: report.score, metrics: report.metrics }
  const failure =
    error instanceof Error ? { error: { code: (error as { code?: unknown }).code, message: error.message } } : {}
  return { reason, steps, seconds, best: evaluation(best), last: evaluation(last), ...failure }
}
