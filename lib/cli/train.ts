import type { Command } from 'commander'
import type { RunConfig } from '../config/load.ts'
import { parseSetting, type Setting } from '../config/set-paths.ts'
import { ConfigError } from '../errors.ts'
import type { EvalReport, RunResult, RunSink } from '../rl/types.ts'
import { type PreparedRun, prepareRun } from '../run/prepare-run.ts'
import { painterFor } from '../ui/style.ts'
import { TrainingView, viewMode } from '../ui/training-view.ts'
import { InterruptedError, Interrupts } from './interrupts.ts'
import { collect, integerFrom, maxSeed } from './option-values.ts'
import { note, printJson, printLine, UsageError } from './output.ts'

interface TrainCommandOptions {
  runDir?: string
  steps?: number
  seed?: number
  set?: string[]
  quiet?: boolean
  json?: boolean
}

/** Adds `magrpo train`: trains what a configuration says. */
export function addTrainCommand(program: Command): void {
  program
    .command('train')
    .description('train a team as a YAML configuration says')
    .argument('<config>', 'YAML file')
    .option('--run-dir <folder>', 'where the run is recorded; runs/<name> by default')
    .option('--steps <count>', 'optimizer steps, instead of those of the file', integerFrom(1))
    .option('--seed <number>', 'everything random is a function of it', integerFrom(0, maxSeed))
    .option(
      '--set <path=value>',
      'any other setting, such as optimizer.learningRate=1e-5; may come several times',
      collect,
    )
    .option('--quiet', 'show warnings and errors only')
    .option('--json', 'print a JSON line for each step, each evaluation and the end')
    .addHelpText(
      'after',
      `
Ctrl-C once saves the weights of the last step in final/ and exits 130; twice leaves at once.
Paths in the configuration are relative to the folder the command runs in.

Examples:
  magrpo train examples/story.yaml
  magrpo train examples/story.yaml --seed 2 --run-dir runs/story-2 --set algorithm.groupSize=8`,
    )
    .action(async (file: string, options: TrainCommandOptions) => {
      const { loadConfig } = await import('../config/load.ts')
      await trainAndReport(await loadConfig(file, settingsOf(options)), options)
    })
}

function settingsOf({ runDir, steps, seed, set = [] }: TrainCommandOptions): Setting[] {
  const settings = set.map((text) => {
    try {
      return parseSetting(text)
    } catch (error) {
      if (error instanceof ConfigError) throw new UsageError(error.message)
      throw error
    }
  })
  if (runDir !== undefined) settings.push({ path: ['runDir'], value: runDir })
  if (seed !== undefined) settings.push({ path: ['seed'], value: seed })
  if (steps !== undefined) settings.push({ path: ['epochs'], value: null }, { path: ['steps'], value: steps })
  return settings
}

/** Trains a configuration and shows it; throws {@link InterruptedError} if it was interrupted. */
async function trainAndReport(config: RunConfig, { quiet = false, json = false }: TrainCommandOptions): Promise<void> {
  const stopper = new Stopper()
  const stream = process.stderr
  const view = new TrainingView({ stream, mode: viewMode(stream, quiet), paint: painterFor(stream), name: config.name })
  const onProgress = quiet ? undefined : (what: string) => note(what)
  try {
    const sinks = json ? [view, jsonSink] : [view]
    const prepared = await prepareRun(config, { sinks, signal: stopper.signal, onProgress, onWarning: note })
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
 * Ctrl-C while a run is prepared aborts the preparation; once it goes, it ends the run after the weights of the last step
 * are saved.
 */
class Stopper {
  readonly #controller = new AbortController()
  #stopGently: (() => void) | undefined
  readonly #interrupts = new Interrupts((interruption) => {
    if (!this.#stopGently) return this.#controller.abort(new InterruptedError(interruption))
    note('magrpo: stopping; the weights of the last step are saved (once more to leave at once)')
    this.#stopGently()
  })

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
}
