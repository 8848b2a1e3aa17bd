import type { Command } from 'commander'
import { formatBytes } from '../base/format.ts'
import { downloadLines } from '../ui/download-lines.ts'
import { interruptible } from './interrupts.ts'
import { note, printJson, printLine } from './output.ts'

interface PullCommandOptions {
  revision?: string
  quiet?: boolean
  json?: boolean
}

/** Adds `magrpo pull`: a model of the hub into the standard cache. */
export function addPullCommand(program: Command): void {
  program
    .command('pull')
    .description('download a model, or a PEFT adapter, of the Hugging Face hub into the standard cache')
    .argument('<name>', 'org/name or org/name@revision')
    .option('--revision <name>', 'branch, tag or commit; main by default')
    .option('--quiet', 'show no progress')
    .option(
      '--json',
      'print {"name":..,"revision":..,"commit":..,"folder":..,"kind":..,"files":[..],"downloaded_bytes":..}',
    )
    .addHelpText(
      'after',
      `
Only configuration, safetensors and the tokenizer's files are fetched. What was interrupted goes on where it stopped.
HF_TOKEN is the token of private and gated models; HF_HOME or HF_HUB_CACHE say where the cache is, HF_ENDPOINT where the hub is.

Examples:
  magrpo pull Qwen/Qwen3-0.6B
  magrpo pull HuggingFaceTB/SmolLM2-135M-Instruct@main --json`,
    )
    .action((name: string, options: PullCommandOptions) => interruptible((signal) => pull(name, options, signal)))
}

async function pull(name: string, options: PullCommandOptions, signal: AbortSignal): Promise<void> {
  const { revision, quiet = false, json = false } = options
  const { pullModel } = await import('../model/pull.ts')
  const onDownload = downloadLines(note, quiet ? undefined : note)
  const { downloadedBytes, ...pulled } = await pullModel(name, { revision, signal, onDownload })
  if (json) return printJson({ ...pulled, downloaded_bytes: downloadedBytes })
  if (downloadedBytes === 0) note(`${pulled.name} (${pulled.commit.slice(0, 12)}) was there already`)
  else note(`${pulled.name} (${pulled.commit.slice(0, 12)}): ${formatBytes(downloadedBytes)} downloaded`)
  await printLine(pulled.folder)
}
