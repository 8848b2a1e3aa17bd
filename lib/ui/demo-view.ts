import { formatDuration } from '../base/format.ts'
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { StepReport } from '../rl/types/reports.ts'
import type { RunSink } from '../rl/types/sink.ts'
import { type ConventionShares, conventionLine, conventionShares, conventionTable } from './convention-table.ts'
import { LiveBlock } from './live-block.ts'
import type { OutputStream, Paint } from './style.ts'
import type { ViewMode } from './training-view.ts'

/** Shows the training of the demo: who follows which convention, and how many programs pass. */
export class DemoView implements RunSink {
  readonly #stream: OutputStream
  readonly #mode: ViewMode
  readonly #paint: Paint
  readonly #live: LiveBlock | undefined
  readonly #history: ConventionShares[] = []
  #startedAt = 0
  #steps = 0

  constructor(options: { stream: OutputStream; mode: ViewMode; paint: Paint }) {
    this.#stream = options.stream
    this.#mode = options.mode
    this.#paint = options.paint
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
    if (this.#mode === 'plain' && isDue && shares) this.#line(`step ${index}/${this.#steps}  ${conventionLine(shares)}`)
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
    const head = this.#paint('bold', `training  step ${index}/${this.#steps}`)
    return [
      `${head}  ${formatDuration(seconds)}, about ${left} left`,
      ...conventionTable(this.#history, columns, this.#paint),
    ]
  }

  #line(text: string): void {
    this.#stream.write(`${text}\n`)
  }
}
