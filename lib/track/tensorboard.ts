import { stringify } from 'yaml'
import type { z } from 'zod'
import { MagrpoError } from '../base/errors.ts'
import { integer, text } from '../base/fields.ts'
import { type OptionsOf, readOptions } from '../base/validate.ts'
import type { EvalReport, SampleRow, StepReport } from '../rl/types/reports.ts'
import { trackerEntry } from './entry.ts'
import { EventFile } from './event-file.ts'
import type { TrackedRun, Tracker } from './tracker.ts'

const tensorBoardOptions = {
  /** Where the event file is made. Defaults to the run folder. */
  folder: text().optional(),
  /** Also write one sample as text, after every so many steps and with every evaluation; 0 writes none. Defaults to `10`. */
  sampleEvery: integer({ from: 0 }).default(10),
}

/** What {@link tensorBoard} may be told. @interface */
export type TensorBoardOptions = OptionsOf<typeof tensorBoardOptions>

/** The entry of `tensorboard`. */
export const entry = trackerEntry({
  about: "TensorBoard's event files in the run folder",
  options: tensorBoardOptions,
  create: (options) => tensorBoard(options),
})

/**
 * A tracker that writes TensorBoard's event files: every metric and timing as a scalar under its own name, the options and some
 * samples as texts. `tensorboard --logdir runs` shows all runs of a folder side by side.
 *
 * ```ts
 * train({ team, task, optimizer, steps: 100, runDir: 'runs/haiku', trackers: [tensorBoard()] })
 * ```
 *
 * Its `start` fails with `ERR_ARGUMENT` where the run has no folder and none is given.
 */
export function tensorBoard(options: TensorBoardOptions = {}): Tracker {
  return new TensorBoardTracker(readOptions('The tracker "tensorboard"', tensorBoardOptions, options))
}

type Settings = z.output<z.ZodObject<typeof tensorBoardOptions>>

class TensorBoardTracker implements Tracker {
  readonly name = 'tensorboard'
  readonly #options: Settings
  #file: EventFile | undefined
  /** The options of the run until they are in the file. */
  #optionsText: string | undefined

  constructor(options: Settings) {
    this.#options = options
  }

  async start(run: TrackedRun): Promise<void> {
    const folder = this.#options.folder ?? run.folder
    if (folder === null)
      throw new MagrpoError(
        'ERR_ARGUMENT',
        'Expected a folder for the event file, but the run is not recorded. Give train a runDir, or tensorBoard a folder.',
      )
    this.#file = await EventFile.create(folder)
    this.#optionsText = code(stringify(run.options))
  }

  async step({ index, metrics, timings, samples }: StepReport): Promise<void> {
    const { sampleEvery } = this.#options
    const isDue = sampleEvery > 0 && (index === 1 || index % sampleEvery === 0)
    await this.#append(index, { ...metrics, ...timings }, isDue ? samples.slice(0, 1) : [])
  }

  async evaluation({ index, metrics, timings, samples }: EvalReport): Promise<void> {
    await this.#append(index, { ...metrics, ...timings }, this.#options.sampleEvery === 0 ? [] : samples.slice(0, 1))
  }

  async end(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }

  async #append(step: number, scalars: Record<string, number>, samples: readonly SampleRow[]): Promise<void> {
    const texts: Record<string, string> = {}
    if (this.#optionsText !== undefined) {
      // A resumed run repeats the steps after its checkpoint; what an earlier file says of them no longer holds.
      await this.#file?.append(step, { isRestart: true })
      texts.options = this.#optionsText
      this.#optionsText = undefined
    }
    for (const row of samples) texts[`samples/${row.phase}`] = sampleText(row)
    await this.#file?.append(step, { scalars, texts })
  }
}

/** Text as a Markdown code block: nothing a model wrote is read as Markdown. */
function code(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')
}

function sampleText({ item, reward, parts, agents }: SampleRow): string {
  const scores = [`reward ${reward}`, ...Object.entries(parts).map(([name, value]) => `${name} ${value}`)]
  const texts = agents.map(({ name, completion }) => `${code(name)}\n\n---\n\n${code(completion)}`)
  return [`item ${item}`, code(scores.join('\n')), ...texts].join('\n\n')
}
