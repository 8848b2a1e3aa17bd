import { type Command, Option } from 'commander'
import type { ExportOptions } from '../run/export.ts'
import { downloadLines } from '../ui/download-lines.ts'
import { interruptible } from './interrupts.ts'
import { dtypeOption } from './model-options.ts'
import { note, printJson, printLine, UsageError } from './output.ts'

interface ExportCommandOptions extends Pick<ExportOptions, 'out' | 'agent' | 'weights' | 'base' | 'dtype'> {
  merged?: boolean
  adapter?: boolean
  json?: boolean
}

/** Adds `magrpo export`: trained weights for transformers and PEFT. */
export function addExportCommand(program: Command): void {
  program
    .command('export')
    .description('write trained weights so that transformers, peft and whoever reads their layout open them')
    .argument('<source>', 'run folder, folder of an adapter, or folder of a model')
    .requiredOption('--out <folder>', 'new folder; each agent of a run gets one of its name in it')
    .option('--merged', 'adapters added to the weights of their base: models that need nothing else')
    .option('--adapter', 'adapters as they are (what was trained is exported as it was by default)')
    .option('--agent <name>', 'of a run: this agent only, into the folder itself')
    .addOption(new Option('--weights <which>', 'of a run').choices(['final', 'best']).default('final'))
    .option('--base <name>', "the adapters' base, if it is not any more where they say: folder, or org/name of the hub")
    .addOption(dtypeOption())
    .option('--json', 'print {"agent":..,"kind":"full|adapter|merged","folder":..,"base":..} for each')
    .addHelpText(
      'after',
      `
Examples:
  magrpo export runs/tldr --out tldr-adapters
  magrpo export runs/tldr --merged --agent summarizer --out summarizer
  magrpo export my-adapter --merged --base Qwen/Qwen3-0.6B --out my-model`,
    )
    .action((source: string, options: ExportCommandOptions) =>
      interruptible((signal) => exportAndPrint(source, options, signal)),
    )
}

async function exportAndPrint(source: string, options: ExportCommandOptions, signal: AbortSignal): Promise<void> {
  const { merged = false, adapter = false, json = false, ...settings } = options
  if (merged && adapter) throw new UsageError('expected --merged or --adapter, not both')
  const as = merged ? 'merged' : adapter ? 'adapter' : undefined
  const { exportWeights } = await import('../run/export.ts')
  const onDownload = downloadLines(note, note)
  for (const one of await exportWeights(source, { ...settings, as, signal, onDownload })) {
    if (json) await printJson(one)
    else await printLine(one.folder)
    if (!json && one.kind === 'adapter') note(`an adapter over ${one.base} (--base writes another name)`)
  }
}
