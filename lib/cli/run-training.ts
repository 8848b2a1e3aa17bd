/** What `magrpo train` and `magrpo resume` share: a run is shown, interrupted in an orderly way, and reported. */

import type { EvalReport } from '../rl/types/reports.ts'
import type { RunResult, RunSink } from '../rl/types/sink.ts'
import type { PreparedRun, PrepareRunOptions } from '../session/prepare-run.ts'
import { painterFor } from '../ui/style.ts'
import { TrainingView, viewMode } from '../ui/training-view.ts'
import { InterruptedError, Interrupts } from './interrupts.ts'
import { note, printJson, printLine } from './output.ts'

/** How a run is shown. */
interface ShowOptions {
  quiet?: boolean
  json?: boolean
}

/**
 * Prepares a run, drives it to its end and shows it.
 *
 * @param name what the run is called
 * @throws InterruptedError if it was interrupted; what preparing and training throws
 */
export async function runAndReport(
  name: string,
  { quiet = false, json = false }: ShowOptions,
  prepare: (settings: PrepareRunOptions) => Promise<PreparedRun>,
): Promise<void> {
  const stopper = new Stopper()
  const stream = process.stderr
  const view = new TrainingView({ stream, mode: viewMode(stream, quiet), paint: painterFor(stream), name })
  const onProgress = quiet ? undefined : (what: string) => note(what)
  try {
    const sinks = json ? [view, jsonSink] : [view]
    const prepared = await prepare({ sinks, signal: stopper.signal, onProgress, onWarning: note })
    try {
      stopper.stopsGently(() => prepared.run.stop())
      if (!quiet) note(`run folder: ${prepared.folder.display}`)
      await report(await prepared.run.result, prepared, json)
    } finally {
      view.close()
      await prepared.dispose()
    }
    stopper.throwIfInterrupted()
  } finally {
    stopper.dispose()
  }
}

/**
 * Ctrl-C, or an output that nobody reads any more, while a run is prepared aborts the preparation; once it goes, it ends the run after the weights of the last step
 * are saved.
 */
class Stopper {
  readonly #controller = new AbortController()
  #stopGently: (() => void) | undefined
  readonly #interrupts = new Interrupts(
    (interruption) => {
      if (!this.#stopGently) return this.#controller.abort(new InterruptedError(interruption))
      note('magrpo: stopping; the weights of the last step are saved (once more to leave at once)')
      this.#stopGently()
    },
    { readers: true },
  )

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  stopsGently(stop: () => void): void {
    this.#stopGently = stop
    if (this.#interrupts.received) stop()
  }

  throwIfInterrupted(): void {
    if (this.#interrupts.received) throw new InterruptedError(this.#interrupts.received)
  }

  dispose(): void {
    this.#interrupts.dispose()
  }
}

/** Steps and evaluations as JSON lines on stdout. */
const jsonSink: RunSink = {
  onStep: ({ index, metrics, timings, warnings }) =>
    printJson({ event: 'step', step: index, metrics, timings, warnings }),
  onEval: ({ index, score, metrics, timings }) => printJson({ event: 'eval', step: index, score, metrics, timings }),
}

async function report(result: RunResult, { folder }: PreparedRun, json: boolean): Promise<void> {
  const { reason, steps, seconds, best, last } = result
  const final = folder.file('final')
  const evaluation = (report: EvalReport | null) => report && { step: report.index, score: report.score }
  if (json) {
    const summary = {
      reason,
      steps,
      seconds,
      best: evaluation(best),
      last: evaluation(last),
      run_dir: folder.path,
      final,
    }
    return printJson({ event: 'end', ...summary })
  }
  await printLine(`${reason} after ${steps} steps; weights in ${folder.display}/final`)
  if (reason === 'stopped') note(`go on with: magrpo resume ${folder.display}`)
}
