import { join } from 'node:path'
import type { Command } from 'commander'
import type { RunConfig } from '../config/load.ts'
import type { Setting } from '../config/set-paths.ts'
import { prepareRun } from '../session/prepare-run.ts'
import { runsInProcesses } from './in-processes.ts'
import { collect, integerFrom, maxSeed, settingsFrom } from './option-values.ts'
import { note, printJson, printLine } from './output.ts'
import { runAndReport } from './run-training.ts'

interface TrainCommandOptions {
  runDir?: string
  overwrite?: boolean
  steps?: number
  checkpointEvery?: number
  seed?: number
  set?: string[]
  processes?: number
  dryRun?: boolean
  quiet?: boolean
  json?: boolean
}

/** Adds `magrpo train`: trains what a configuration says. */
export function addTrainCommand(program: Command): void {
  program
    .command('train')
    .description('train a team as a YAML configuration says')
    .argument('<config>', 'YAML file')
    .option('--run-dir <folder>', 'where the run is recorded; by default runs/<name>, or runs/<name>-2 if there is one')
    .option('--overwrite', 'put the run in the place of the one that its folder holds')
    .option('--steps <count>', 'optimizer steps, instead of those of the file', integerFrom(1))
    .option(
      '--checkpoint-every <steps>',
      'how often the run can be taken up again; 0: only at its end and at the best evaluation; 20 by default',
      integerFrom(0),
    )
    .option('--seed <number>', 'everything random is a function of it', integerFrom(0, maxSeed))
    .option(
      '--set <path=value>',
      'any other setting, such as optimizer.learningRate=1e-5; may come several times',
      collect,
    )
    .option(
      '--processes <count>',
      'train on so many processes of this machine; torchrun, srun and mpirun work too',
      integerFrom(1),
    )
    .option('--dry-run', 'check configuration, data, task and models, show the memory the run takes, and end')
    .option('--quiet', 'show warnings and errors only')
    .option('--json', 'print a JSON line for each step, each evaluation and the end')
    .addHelpText(
      'after',
      `
Ctrl-C once saves the weights of the last step and exits 130; twice leaves at once. A run that was interrupted, in whatever way,
goes on with: magrpo resume RUN
A run that takes more memory than is free is refused before its first step; --dry-run shows the plan, and MAGRPO_MEMORY_LIMIT=8GiB
sets what counts as free.
Paths in the configuration are relative to the folder the command runs in.

Examples:
  magrpo train examples/story.yaml
  magrpo train examples/story.yaml --dry-run
  magrpo train examples/story.yaml --seed 2 --run-dir runs/story-2 --set algorithm.groupSize=8`,
    )
    .action(async (file: string, options: TrainCommandOptions) => {
      const { loadConfig } = await import('../config/load.ts')
      const config = await loadConfig(file, settingsOf(options))
      const processes = options.processes ?? config.processes
      if (options.dryRun) return dryRun({ ...config, processes }, options)
      if (await runsInProcesses(processes)) return
      // A folder that was asked for is meant exactly.
      const isDefault = options.runDir === undefined && config.runDir === join('runs', config.name)
      const ifThere = options.overwrite ? 'replace' : isDefault ? 'number' : 'refuse'
      await runAndReport(config.name, options, (settings) => prepareRun(config, { ...settings, ifThere }))
    })
}

/**
 * Makes the run ready, prints its memory plan to stdout and leaves no trace.
 *
 * @throws OutOfMemoryError after the plan if it is too much; what making the run ready throws
 */
async function dryRun(config: RunConfig, { json = false, quiet = false }: TrainCommandOptions): Promise<void> {
  const { planRun } = await import('../session/plan-run.ts')
  const { checkMemory, worstOf } = await import('../rl/memory/fit.ts')
  const { memoryTable } = await import('../ui/memory-table.ts')
  const onProgress = quiet ? undefined : note
  const { plan, judged, options } = await planRun(config, { onProgress, onWarning: note })
  if (json) {
    await printJson({
      event: 'plan',
      steps: options.steps,
      rows: plan.rows,
      pass_tokens: plan.passTokens,
      prompt_tokens: plan.promptTokens,
      devices: judged.map(({ device: { device, peak, peakBytes, parts }, freeBytes, from, verdict }) => ({
        device,
        peak_bytes: peakBytes,
        peak,
        free_bytes: freeBytes,
        free_from: from,
        verdict,
        parts,
      })),
      verdict: worstOf(judged).verdict,
    })
  } else for (const line of memoryTable(plan, judged)) await printLine(line)
  const warning = checkMemory(plan)
  if (warning !== null) note(`warning: ${warning}`)
}

function settingsOf({ runDir, steps, checkpointEvery, seed, set }: TrainCommandOptions): Setting[] {
  const settings = settingsFrom(set)
  if (runDir !== undefined) settings.push({ path: ['runDir'], value: runDir })
  if (seed !== undefined) settings.push({ path: ['seed'], value: seed })
  if (steps !== undefined) settings.push({ path: ['epochs'], value: null }, { path: ['steps'], value: steps })
  if (checkpointEvery !== undefined) settings.push({ path: ['checkpointEvery'], value: checkpointEvery })
  return settings
}
