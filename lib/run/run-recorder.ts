import type { EvalReport, ResolvedTrainOptions, RunEnd, RunSink, SampleRow, SaveTeam, StepReport } from '../rl/types.ts'
import { JsonLinesWriter } from './json-lines.ts'
import { type RunFolder, runFiles } from './run-folder.ts'

/** What {@link RunRecorder} can be told. */
export interface RecorderOptions {
  /** Called with the options of the run as training resolved them, before any work. */
  onResolved?(options: ResolvedTrainOptions, folder: RunFolder): void | Promise<void>
}

/**
 * Records a run in its folder: `metrics.jsonl` and `timings.jsonl` (a line a step and a line an evaluation), `samples.jsonl`, the
 * best weights in `best/`, and at the end `final/` and `result.json`. A run that was stopped leaves its weights in `final/`
 * too; `reason` in `result.json` tells.
 */
export class RunRecorder implements RunSink {
  readonly #open: () => Promise<RunFolder>
  readonly #options: RecorderOptions
  #opened?: RunFolder
  #metrics?: JsonLinesWriter
  #timings?: JsonLinesWriter
  #samples?: JsonLinesWriter
  /** Whether training began: from here on the folder holds something. */
  started = false

  /** @param folder where to, or what makes it when training begins */
  constructor(folder: RunFolder | (() => Promise<RunFolder>), options: RecorderOptions = {}) {
    this.#open = typeof folder === 'function' ? folder : async () => folder
    this.#options = options
  }

  async onStart(options: ResolvedTrainOptions): Promise<void> {
    this.#opened = await this.#open()
    await this.#options.onResolved?.(options, this.#opened)
    this.#metrics = await JsonLinesWriter.open(this.#folder.file(runFiles.metrics))
    this.#timings = await JsonLinesWriter.open(this.#folder.file(runFiles.timings))
    this.#samples = await JsonLinesWriter.open(this.#folder.file(runFiles.samples))
    this.started = true
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
    await this.#folder.replaceFolder(runFiles.best, save)
    await this.#folder.writeJson(`${runFiles.best}/eval.json`, { step, score, metrics })
  }

  async onEnd(end: RunEnd, save: SaveTeam): Promise<void> {
    for (const writer of [this.#metrics, this.#timings, this.#samples]) await writer?.close()
    if (!this.started) return
    if (end.reason === 'finished' || end.reason === 'stopped') await this.#folder.replaceFolder(runFiles.final, save)
    const { reason, steps, seconds, error } = end
    const evaluation = (report: EvalReport | null) =>
      report && { step: report.index, score: report.score, metrics: report.metrics }
    const failure =
      error instanceof Error ? { error: { code: (error as { code?: unknown }).code, message: error.message } } : {}
    const result = { reason, steps, seconds, best: evaluation(end.best), last: evaluation(end.last), ...failure }
    await this.#folder.writeJson(runFiles.result, result)
  }

  get #folder(): RunFolder {
    if (!this.#opened) throw new Error('the run was not started')
    return this.#opened
  }

  async #write(line: Record<string, unknown>, report: { timings: object; samples: SampleRow[] }): Promise<void> {
    await this.#samples?.append(...report.samples)
    await this.#timings?.append({ step: line.step, ...report.timings })
    await this.#metrics?.append(line)
  }
}
