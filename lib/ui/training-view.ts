import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { EvalReport, EvalStart, RunWarning, StepReport } from '../rl/types/reports.ts'
import type { RunEnd, RunSink } from '../rl/types/sink.ts'
import { LiveBlock } from './live-block.ts'
import type { OutputStream, Paint } from './style.ts'
import {
  endLine,
  evalLine,
  evalStartLine,
  sampleTable,
  stepLine,
  type TrainingState,
  trainingBlock,
} from './training-lines.ts'
import { wrap } from './width.ts'

/** How a run is shown: a block that is drawn in place, lines now and then, or warnings only. */
type ViewMode = 'live' | 'plain' | 'quiet'

/** Settings of a {@link TrainingView}. */
export interface TrainingViewOptions {
  /** Where to: `process.stderr`. */
  stream: OutputStream
  mode: ViewMode
  paint: Paint
  /** What the run is called. */
  name: string
  /** A sample is shown every so many steps; 0 shows none. Defaults to a tenth of the run, the first step included. */
  sampleEvery?: number
  /** Milliseconds, for tests. Defaults to the clock. */
  now?: () => number
}

/** A log gets a line when this share of the steps is done since the last one, or after so many milliseconds. */
const plainShare = 0.1
const plainMs = 30_000

/** Shows a run while it goes on. */
export class TrainingView implements RunSink {
  readonly #options: TrainingViewOptions
  readonly #now: () => number
  readonly #live: LiveBlock | undefined
  #state: TrainingState
  #startedAt = 0
  #lastLine = { at: 0, step: 0 }
  #timer: NodeJS.Timeout | undefined

  constructor(options: TrainingViewOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#live = options.mode === 'live' ? new LiveBlock(options.stream) : undefined
    this.#state = {
      name: options.name,
      steps: 0,
      agents: [],
      done: 0,
      doneBefore: 0,
      rewards: [],
      metrics: {},
      timings: {},
      lastEval: null,
      bestEval: null,
      evaluating: 0,
      evalEvery: 0,
      evals: { count: 0, seconds: 0 },
      seconds: 0,
    }
  }

  onStart({ steps, task, evalEvery }: ResolvedTrainOptions): void {
    this.#startedAt = this.#now()
    this.#lastLine = { at: this.#startedAt, step: 0 }
    this.#state = { ...this.#state, steps, evalEvery, agents: task.agents }
    this.#draw()
    if (!this.#live) return
    this.#timer = setInterval(() => this.#draw(), 1000)
    this.#timer.unref()
  }

  onStep(report: StepReport): void {
    const rewards = [...this.#state.rewards, report.metrics['reward/mean'] ?? Number.NaN]
    const { index, metrics, timings } = report
    const doneBefore = this.#state.done === 0 ? index - 1 : this.#state.doneBefore
    this.#state = { ...this.#state, done: index, doneBefore, rewards, metrics, timings }
    const [sample] = report.samples
    if (this.#isSampleDue(index) && sample) this.#print(sampleTable(sample, this.#columns, this.#options.paint))
    if (this.#options.mode === 'plain' && this.#isLineDue(index)) {
      this.#state = { ...this.#state, seconds: this.#seconds }
      this.#print([stepLine(this.#state)])
      this.#lastLine = { at: this.#now(), step: index }
    }
    this.#draw()
  }

  onEvalStart(start: EvalStart): void {
    this.#state = { ...this.#state, evaluating: start.items }
    if (this.#options.mode === 'plain') this.#print([evalStartLine(start)])
    this.#draw()
  }

  onEval(report: EvalReport): void {
    const { bestEval: best, evals } = this.#state
    const isBest = report.score > (best?.score ?? -Infinity)
    const seconds = evals.seconds + (report.timings['time/eval_s'] ?? 0)
    this.#state = {
      ...this.#state,
      lastEval: report,
      bestEval: isBest ? report : best,
      evaluating: 0,
      evals: { count: evals.count + 1, seconds },
    }
    this.#print([evalLine(report, isBest && report.index > 0)])
    this.#draw()
  }

  onWarning({ message }: RunWarning): void {
    const lines = wrap(`warning: ${message}`, this.#columns)
    this.#show(lines.map((line) => this.#options.paint('yellow', line)))
  }

  onEnd(end: RunEnd): void {
    this.#state = { ...this.#state, evaluating: 0 }
    this.close()
    if (end.reason !== 'failed' && this.#options.mode !== 'quiet') this.#write([endLine(end)])
  }

  /** Ends the live block; what was shown stays. Does nothing the second time. */
  close(): void {
    clearInterval(this.#timer)
    if (this.#live && this.#timer) this.#draw()
    this.#timer = undefined
    this.#live?.close()
  }

  get #columns(): number {
    return this.#live?.columns ?? 100
  }

  get #seconds(): number {
    return (this.#now() - this.#startedAt) / 1000
  }

  #isSampleDue(index: number): boolean {
    const every = this.#options.sampleEvery ?? Math.max(1, Math.ceil(this.#state.steps / 10))
    return every > 0 && (index === 1 || index % every === 0)
  }

  #isLineDue(index: number): boolean {
    const { steps } = this.#state
    const isFirstOrLast = index === 1 || index === steps
    const isShare = index - this.#lastLine.step >= plainShare * steps
    return isFirstOrLast || isShare || this.#now() - this.#lastLine.at >= plainMs
  }

  #draw(): void {
    if (!this.#live) return
    this.#state = { ...this.#state, seconds: this.#seconds }
    this.#live.draw(trainingBlock(this.#state, this.#live.columns, this.#options.paint))
  }

  #print(lines: readonly string[]): void {
    if (this.#options.mode !== 'quiet') this.#show(lines)
  }

  #show(lines: readonly string[]): void {
    if (this.#live) this.#live.print(lines)
    else this.#write(lines)
  }

  #write(lines: readonly string[]): void {
    this.#options.stream.write(lines.map((line) => `${line}\n`).join(''))
  }
}

/** The mode for a stream: live on a terminal that can move its cursor, else plain. */
export function viewMode(stream: OutputStream, quiet: boolean, env: NodeJS.ProcessEnv = process.env): ViewMode {
  if (quiet) return 'quiet'
  return stream.isTTY === true && env.TERM !== 'dumb' && !env.CI ? 'live' : 'plain'
}
