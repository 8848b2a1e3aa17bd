import { formatDuration } from '../base/format.ts'
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { StepReport } from '../rl/types/reports.ts'
import type { RunSink } from '../rl/types/sink.ts'
import { type ConventionShares, conventionLine, conventionShares, conventionTable } from './convention-table.ts'
import { LiveBlock } from './live-block.ts'
import type { TrainingViewOptions } from './training-view.ts'

/** Settings of a {@link DemoView}. */
type DemoViewOptions = Pick<TrainingViewOptions, 'stream' | 'mode' | 'paint'>

/** Shows the training of the demo: who follows which convention, and how many programs pass. */
export class DemoView implements RunSink {
  readonly #options: DemoViewOptions
  readonly #live: LiveBlock | undefined
  readonly #history: ConventionShares[] = []
  #startedAt = 0
  #steps = 0

  constructor(options: DemoViewOptions) {
    this.#options = options
    this.#live = options.mode === 'live' ? new LiveBlock(options.stream) : undefined
  }

  /** Shares of every step so far. */
  get history(): readonly ConventionShares[] {
    return this.#history
  }

  onStart({ steps }: ResolvedTrainOptions): void {
    this.#steps = steps
    this.#startedAt = performance.now()
  }

  onStep({ index, metrics }: StepReport): void {
    this.#history.push(conventionShares(metrics))
    if (this.#live) this.#live.draw(this.#block(index, this.#live.columns))
    const isDue = index === 1 || index === this.#steps || index % Math.ceil(this.#steps / 10) === 0
    const shares = this.#history.at(-1)
    if (this.#options.mode === 'plain' && isDue && shares)
      this.#line(`step ${index}/${this.#steps}  ${conventionLine(shares)}`)
  }

  onWarning({ message }: { message: string }): void {
    if (this.#live) this.#live.print([message])
    else this.#line(message)
  }

  onEnd(): void {
    this.#live?.clear()
    this.close()
  }

  /** Gives the terminal back; does nothing the second time. */
  close(): void {
    this.#live?.close()
  }

  #block(index: number, columns: number): string[] {
    const seconds = (performance.now() - this.#startedAt) / 1000
    const left = formatDuration((seconds / index) * (this.#steps - index))
    const head = this.#options.paint('bold', `training  step ${index}/${this.#steps}`)
    return [
      `${head}  ${formatDuration(seconds)}, about ${left} left`,
      ...conventionTable(this.#history, columns, this.#options.paint),
    ]
  }

  #line(text: string): void {
    this.#options.stream.write(`${text}\n`)
  }
}
