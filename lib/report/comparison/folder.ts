/** The folder a comparison is recorded in, from which its tables can be made again. */
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { cannotWrite } from '../../base/cannot-write.ts'
import { MagrpoError } from '../../base/errors.ts'
import { JsonLinesWriter } from '../../base/json-lines.ts'
import { makeFolder } from '../../base/make-folder.ts'
import { readFile } from '../../base/read-files.ts'
import { describeEnvironment } from '../../run/environment.ts'
import { loadItems } from '../../tasks/datasets/items.ts'
import { comparisonMarkdown } from './markdown.ts'
import { comparisonPicture } from './picture.ts'
import { summarize } from './summarize.ts'
import type { Comparison, ComparisonAbout, ComparisonSample, ComparisonTiming } from './types.ts'

/** What the folder holds, by name. */
export const comparisonFiles = {
  config: 'config.yaml',
  environment: 'environment.json',
  /** One line a joint completion and turn, with prompts, texts and scores. */
  samples: 'samples.jsonl',
  /** One line a timed item. */
  timings: 'timings.jsonl',
  /** The tables and what was compared; written last. */
  comparison: 'comparison.json',
  markdown: 'comparison.md',
  picture: 'comparison.svg',
  /** Runs of teams that were trained for the comparison. */
  runs: 'runs',
} as const

/** Writes a comparison's folder. */
export class ComparisonFolder {
  readonly path: string
  readonly #samples: JsonLinesWriter
  readonly #timings: JsonLinesWriter

  private constructor(path: string, samples: JsonLinesWriter, timings: JsonLinesWriter) {
    this.path = path
    this.#samples = samples
    this.#timings = timings
  }

  /**
   * Makes the folder; an empty one that is there is taken.
   *
   * @throws MagrpoError `ERR_RUN_EXISTS` if there is something in it, `ERR_RUN` if it cannot be made
   */
  static async create(path: string, config: unknown): Promise<ComparisonFolder> {
    await makeFolder(path).catch((cause: unknown) => {
      throw cannotWrite(path, cause)
    })
    if ((await readdir(path)).length > 0)
      throw new MagrpoError(
        'ERR_RUN_EXISTS',
        `The folder ${path} exists already and is not empty. Choose another with --out, or remove it if it is no longer needed.`,
        { details: { path } },
      )
    await writeFile(join(path, comparisonFiles.config), stringify(config))
    await writeFile(
      join(path, comparisonFiles.environment),
      `${JSON.stringify(await describeEnvironment(), null, 2)}\n`,
    )
    const [samples, timings] = [comparisonFiles.samples, comparisonFiles.timings].map((name) => join(path, name))
    return new ComparisonFolder(path, await JsonLinesWriter.open(samples!), await JsonLinesWriter.open(timings!))
  }

  /** Appends what one method did with one seed. */
  async append(samples: readonly ComparisonSample[], timings: readonly ComparisonTiming[]): Promise<void> {
    await this.#samples.append(...samples)
    await this.#timings.append(...timings)
  }

  /** Writes the tables. */
  async finish(comparison: Comparison): Promise<void> {
    await writeFile(join(this.path, comparisonFiles.markdown), comparisonMarkdown(comparison))
    await writeFile(join(this.path, comparisonFiles.picture), comparisonPicture(comparison))
    await writeFile(join(this.path, comparisonFiles.comparison), `${JSON.stringify(comparison, null, 2)}\n`)
  }

  async close(): Promise<void> {
    await this.#samples.close()
    await this.#timings.close()
  }
}

/**
 * A recorded comparison, computed anew from its samples and timings.
 *
 * @throws MagrpoError `ERR_RUN` if the folder holds no finished comparison; `ERR_DATA` for broken lines
 */
export async function readComparison(path: string): Promise<Comparison> {
  const file = join(path, comparisonFiles.comparison)
  let about: ComparisonAbout
  try {
    about = (JSON.parse(await readFile(file, 'utf8', 'ERR_RUN')) as Comparison).about
  } catch (cause) {
    const message = `${path} holds no finished comparison: ${(cause as Error).message}.`
    throw new MagrpoError('ERR_RUN', message, { details: { path: file }, cause })
  }
  const samples = await loadItems<ComparisonSample>(join(path, comparisonFiles.samples), { fields: ['method'] })
  const isTimed = about.timedItems > 0
  const timings = isTimed
    ? await loadItems<ComparisonTiming>(join(path, comparisonFiles.timings), { fields: ['method'] })
    : []
  return summarize(about, samples, timings)
}
