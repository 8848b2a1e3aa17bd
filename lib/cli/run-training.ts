/** What `magrpo train` and `magrpo resume` share: a run is shown, interrupted in an orderly way, and reported. */

import { ranksOfProcess } from '../ranks/process-ranks.ts'
import type { EvalReport } from '../rl/types/reports.ts'
import type { RunResult, RunSink } from '../rl/types/sink.ts'
import type { PreparedRun, PrepareRunOptions } from '../session/prepare-run.ts'
import { painterFor } from '../ui/style.ts'
import { TrainingView, viewMode } from '../ui/training-view.ts'
import { Interrupts } from './interrupts.ts'
import { note, printJson, printLine } from './output.ts'

/**
 * Prepares a run, drives it to its end and shows it.
 *
 * @param name what the run is called
 * @throws InterruptedError if it was interrupted; what preparing and training throws
 */
export async function runAndReport(
  name: string,
  { quiet: isQuiet = false, json = false }: { quiet?: boolean; json?: boolean },
  prepare: (settings: PrepareRunOptions) => Promise<PreparedRun>,
): Promise<void> {
  const ranks = ranksOfProcess()
  const quiet = isQuiet || (ranks?.place.rank ?? 0) > 0
  const controller = new AbortController()
  let stopGently: (() => void) | undefined
  let preparation = 'reading what the run needs'
  // Ctrl-C, or an output that nobody reads any more, while a run is prepared aborts the preparation; once it goes, it ends the run
  // after the weights of the last step are saved.
  const interrupts = new Interrupts(
    (reason) => {
      if (!stopGently) return controller.abort(reason)
      note('magrpo: stopping; the weights of the last step are saved (once more to leave at once)')
      stopGently()
    },
    {
      readers: true,
      waitsFor: () =>
        stopGently
          ? 'the micro-batch, reward or tracker under way, and for the weights to be written'
          : `the preparation to end: ${preparation}`,
    },
  )
  const stream = process.stderr
  const view = new TrainingView({ stream, mode: viewMode(stream, quiet), paint: painterFor(stream), name })
  const onProgress = (what: string) => {
    preparation = what
    if (!quiet) note(what)
  }
  try {
    const sinks = json ? [view, jsonSink] : [view]
    const prepared = await prepare({ sinks, signal: controller.signal, onProgress, onWarning: note })
    try {
      stopGently = () => prepared.run.stop()
      if (interrupts.received) stopGently()
      if (!quiet && prepared.folder !== null) note(`run folder: ${prepared.folder.display}`)
      await report(await prepared.run.result, prepared, json)
    } finally {
      view.close()
      await prepared.dispose()
    }
    if (interrupts.received) throw interrupts.received
  } finally {
    interrupts.dispose()
  }
}

/** Steps and evaluations as JSON lines on stdout. */
const jsonSink: RunSink = {
  onStep: ({ index, metrics, timings, warnings }) =>
    printJson({ event: 'step', step: index, metrics, timings, warnings }),
  onEval: ({ index, score, metrics, timings }) => printJson({ event: 'eval', step: index, score, metrics, timings }),
}

async function report(result: RunResult, { folder }: PreparedRun, json: boolean): Promise<void> {
  if (folder === null) return
  const { reason, steps, seconds, best, last } = result
  const final = folder.file('final')
  const evaluation = (report: EvalReport | null) => report && { step: report.index, score: report.score }
  if (json) {
    const evaluations = { best: evaluation(best), last: evaluation(last) }
    return printJson({ event: 'end', reason, steps, seconds, ...evaluations, run_dir: folder.path, final })
  }
  await printLine(`${reason} after ${steps} steps; weights in ${folder.display}/final`)
  if (reason === 'stopped') note(`go on with: magrpo resume ${folder.display}`)
}
