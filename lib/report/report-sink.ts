import type { RunEnd, RunSink } from '../rl/types/sink.ts'
import { writeReport } from './report.ts'

/**
 * Writes `report.html` when a run has finished or was stopped. Comes after whoever records the run; a report that fails is a
 * warning, not the run's end.
 */
export class ReportSink implements RunSink {
  readonly #folder: string
  readonly #sinks: readonly RunSink[]

  /**
   * @param folder the run folder
   * @param sinks who is told of a warning
   */
  constructor(folder: string, sinks: readonly RunSink[] = []) {
    this.#folder = folder
    this.#sinks = sinks
  }

  async onEnd({ reason, steps }: RunEnd): Promise<void> {
    if (reason !== 'finished' && reason !== 'stopped') return
    try {
      await writeReport(this.#folder)
    } catch (error) {
      const message = `The run's report could not be written: ${(error as Error).message} magrpo report ${this.#folder} tries again.`
      for (const sink of this.#sinks) await sink.onWarning?.({ code: 'report', index: steps, message })
    }
  }
}
