import type { RunWarning } from '../rl/types/reports.ts'
import type { RunEnd, RunSink } from '../rl/types/sink.ts'
import { writeReport } from './report.ts'

/**
 * Writes `report.html` when a run has finished or was stopped. Comes after whoever records the run; a report that fails is a
 * warning, not the run's end.
 */
export class ReportSink implements RunSink {
  readonly #folder: string
  readonly #onWarning: (warning: RunWarning) => void | Promise<void>

  /**
   * @param folder the run folder
   * @param onWarning takes the warning of a report that could not be written
   */
  constructor(folder: string, onWarning: (warning: RunWarning) => void | Promise<void>) {
    this.#folder = folder
    this.#onWarning = onWarning
  }

  async onEnd({ reason, steps }: RunEnd): Promise<void> {
    if (reason !== 'finished' && reason !== 'stopped') return
    try {
      await writeReport(this.#folder)
    } catch (error) {
      const message = `The run's report could not be written: ${(error as Error).message} magrpo report ${this.#folder} tries again.`
      await this.#onWarning({ code: 'report', index: steps, message })
    }
  }
}
