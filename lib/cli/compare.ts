import { writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import type { Setting } from '../config/set-paths.ts'
import { placeOfProcess } from '../ranks/launcher.ts'
import { runsInProcesses } from './in-processes.ts'
import { interruptible } from './interrupts.ts'
import { collect, integerFrom, settingsFrom } from './option-values.ts'
import { note, printJson, printLine, UsageError } from './output.ts'

interface CompareCommandOptions {
  out?: string
  from?: string
  items?: number
  samples?: number
  seeds?: number
  set?: string[]
  markdown?: boolean
  json?: boolean
  picture?: string
  processes?: number
  quiet?: boolean
}

/** Adds `magrpo compare`: methods side by side, as in the paper's tables. */
export function addCompareCommand(program: Command): void {
  program
    .command('compare')
    .description("play methods side by side on a task's held-out items and print the paper's tables")
    .argument('[config]', 'YAML file that names the task and the methods')
    .option(
      '--out <folder>',
      'keep raw samples, timings, tables, picture and trained runs there; by default nothing is kept',
    )
    .option('--from <folder>', 'make the tables anew from what --out kept, without any model')
    .option('--items <count>', 'held-out items, from the first on', integerFrom(1))
    .option('--samples <count>', 'joint completions an item and seed; pass@k needs k of them', integerFrom(1))
    .option('--seeds <count>', 'seeds 0, 1, ... up to this many', integerFrom(1))
    .option(
      '--set <path=value>',
      'change a setting of the file, such as methods.0.turns=2; may come several times',
      collect,
    )
    .option('--markdown', 'print Markdown')
    .option('--json', 'print everything as one JSON line')
    .option('--picture <file>', 'also write the tables as an SVG picture')
    .option('--processes <count>', 'train on so many processes of this machine', integerFrom(1))
    .option('--quiet', 'show no progress')
    .addHelpText(
      'after',
      `
Examples:
  magrpo compare examples/mini-code-compare.yaml
  magrpo compare examples/story-compare.yaml --out comparisons/story --seeds 5
  magrpo compare --from comparisons/story --markdown`,
    )
    .action(async (config: string | undefined, options: CompareCommandOptions) => {
      if (await runsInProcesses(options.processes)) return
      await interruptible((signal) => compareAndPrint(config, options, signal))
    })
}

async function compareAndPrint(
  file: string | undefined,
  options: CompareCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const { from, out, picture, json = false, markdown = false, quiet = false } = options
  if ((file === undefined) === (from === undefined))
    throw new UsageError('expected a configuration, or --from with a folder')
  if (from !== undefined && out !== undefined) throw new UsageError('--out is for a comparison that is run')
  if (json && markdown) throw new UsageError('--json and --markdown exclude each other')
  const say = quiet ? () => {} : note
  const comparison =
    from === undefined
      ? await run(file!, options, signal, say)
      : await (await import('../report/comparison/folder.ts')).readComparison(from)
  if ((placeOfProcess()?.rank ?? 0) > 0) return
  if (picture !== undefined) {
    const { comparisonPicture } = await import('../report/comparison/picture.ts')
    const { cannotWrite } = await import('../base/cannot-write.ts')
    await writeFile(picture, comparisonPicture(comparison)).catch((cause: unknown) => {
      throw cannotWrite(picture, cause)
    })
  }
  if (json) return printJson(comparison)
  if (markdown) {
    const { comparisonMarkdown } = await import('../report/comparison/markdown.ts')
    return printLine(comparisonMarkdown(comparison).trimEnd())
  }
  const { comparisonLines } = await import('../report/comparison/text.ts')
  for (const line of comparisonLines(comparison)) await printLine(line)
}

async function run(file: string, options: CompareCommandOptions, signal: AbortSignal, say: (line: string) => void) {
  const { loadCompareConfig } = await import('../compare/config.ts')
  const config = await loadCompareConfig(file, settingsOf(options))
  const { compare } = await import('../compare/compare.ts')
  return compare(config, { signal, onProgress: say, log: note, out: options.out })
}

function settingsOf({ items, samples, seeds, set }: CompareCommandOptions): Setting[] {
  const settings = settingsFrom(set)
  for (const [key, value] of Object.entries({ items, samples, seeds }))
    if (value !== undefined) settings.push({ path: [key], value })
  return settings
}
