import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { prepareResume } from '../session/prepare-run.ts'
import { lookAtRun } from '../session/resume.ts'
import { runsInProcesses } from './in-processes.ts'
import { integerFrom } from './option-values.ts'
import { note, printJson, printLine } from './output.ts'
import { runAndReport } from './run-training.ts'

interface ResumeCommandOptions {
  checkpointEvery?: number
  processes?: number
  quiet?: boolean
  json?: boolean
}

/** Adds `magrpo resume`: goes on with a run that was interrupted. */
export function addResumeCommand(program: Command): void {
  program
    .command('resume')
    .description('go on with a run that was interrupted, exactly where its last checkpoint stands')
    .argument('<run>', 'run folder')
    .option('--checkpoint-every <steps>', 'another distance of checkpoints from here on', integerFrom(0))
    .option(
      '--processes <count>',
      'processes from here on; by default as many as the configuration says',
      integerFrom(1),
    )
    .option('--quiet', 'show warnings and errors only')
    .option('--json', 'print a JSON line for each step, each evaluation and the end')
    .addHelpText(
      'after',
      `
The run ends with the weights, metrics.jsonl and samples.jsonl it would have had without the interruption. Steps after the last
checkpoint are computed again, but rewards that were given are not asked for again. It works in the folder it was begun in.

Example:
  magrpo resume runs/story`,
    )
    .action(async (run: string, options: ResumeCommandOptions) => {
      const { info, finished, cwd } = await lookAtRun(run)
      if (finished !== undefined) {
        const { reason, steps, seconds } = finished
        if (options.json) return printJson({ event: 'end', reason, steps, seconds, run_dir: run })
        return printLine(`${run} is finished: ${steps} steps, none left; weights in ${run}/final`)
      }
      const { processes } = (info.config ?? {}) as { processes?: number }
      if (await runsInProcesses(options.processes ?? processes)) return
      const folder = resolve(run)
      // A rank that was started in another folder than rank 0 has its files there.
      if (cwd === process.cwd() && info.cwd !== cwd && existsSync(info.cwd)) {
        // Paths in the configuration are relative to the folder the run was begun in.
        if (!options.quiet) note(`working in ${info.cwd}, where the run was begun`)
        process.chdir(info.cwd)
      }
      const { name } = (info.config ?? {}) as { name?: string }
      await runAndReport(name ?? run, options, (settings) =>
        prepareResume(folder, { ...settings, checkpointEvery: options.checkpointEvery }),
      )
    })
}
