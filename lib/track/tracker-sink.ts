import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { EvalReport, RunWarning, StepReport } from '../rl/types/reports.ts'
import type { RunEnd, RunSink } from '../rl/types/sink.ts'
import type { TrackedRun, Tracker } from './tracker.ts'

/** How long one call of a tracker may take, in milliseconds. One that takes longer is not called again. */
export const trackerTimeoutMs = 30_000

/** Settings of a {@link TrackerSink}. */
export interface TrackerSinkOptions {
  /** Of the run, as trackers are told. */
  run: Omit<TrackedRun, 'options'>
  /** Takes the warnings that trackers cause. */
  onWarning?(warning: RunWarning): void | Promise<void>
  /** Defaults to `trackerTimeoutMs`. */
  timeoutMs?: number
}

/**
 * Tells trackers of a run and keeps their errors from ending it. The first error of a tracker is a warning at once, the number of
 * all of them one at the end. Warnings go to `onWarning` alone: what a network did must not show in metrics that repeat.
 */
export class TrackerSink implements RunSink {
  readonly #seats: Seat[]
  readonly #options: TrackerSinkOptions
  #step = 0

  constructor(trackers: readonly Tracker[], options: TrackerSinkOptions) {
    this.#seats = trackers.map((tracker) => ({ tracker, failures: 0, isOut: false }))
    this.#options = options
  }

  async onStart(options: ResolvedTrainOptions): Promise<void> {
    for (const seat of this.#seats) {
      const hasStarted = await this.#call(seat, 'start', (tracker) => tracker.start({ ...this.#options.run, options }))
      seat.isOut = !hasStarted
    }
  }

  async onStep(report: StepReport): Promise<void> {
    this.#step = report.index
    await this.#callAll('step', (tracker) => tracker.step(report))
  }

  async onEval(report: EvalReport): Promise<void> {
    await this.#callAll('evaluation', (tracker) => tracker.evaluation(report))
  }

  async onEnd(end: RunEnd): Promise<void> {
    await this.#callAll('end', (tracker) => tracker.end(end))
    for (const { tracker, failures } of this.#seats)
      if (failures > 1)
        await this.#warn(`Tracker ${tracker.name}: ${failures} calls failed in all; its record has gaps.`)
  }

  async #callAll(method: string, call: (tracker: Tracker) => void | Promise<void>): Promise<void> {
    for (const seat of this.#seats) if (!seat.isOut) await this.#call(seat, method, call)
  }

  /** Whether it went well. */
  async #call(seat: Seat, method: string, call: (tracker: Tracker) => void | Promise<void>): Promise<boolean> {
    const { timeoutMs = trackerTimeoutMs } = this.#options
    const { tracker } = seat
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        seat.isOut = true
        reject(new Error(`it did not settle within ${timeoutMs} ms and is not called again`))
      }, timeoutMs)
    })
    try {
      await Promise.race([(async () => call(tracker))(), limit])
      return true
    } catch (error) {
      seat.failures++
      if (seat.failures === 1) {
        const effect = method === 'start' ? ' The run goes on without it.' : ' The run goes on.'
        await this.#warn(`Tracker ${tracker.name} failed in ${method}: ${messageOf(error)}.${effect}`)
      }
      return false
    } finally {
      clearTimeout(timer)
    }
  }

  async #warn(message: string): Promise<void> {
    await this.#options.onWarning?.({ code: 'tracker', index: this.#step, message })
  }
}

interface Seat {
  tracker: Tracker
  failures: number
  /** Not called any more. */
  isOut: boolean
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.+$/, '')
}
