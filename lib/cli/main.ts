/** The command line: registers the commands, one per file, and turns errors into messages and exit codes. */
import { Command, CommanderError } from 'commander'
import { nearest } from '../base/nearest.ts'
import { packageVersion } from '../base/package-version.ts'
import { checkWorkingFolder } from '../base/working-folder.ts'
import { leaveRanks } from '../ranks/process-ranks.ts'
import { addCompareCommand } from './compare.ts'
import { addDemoCommand } from './demo.ts'
import { addDoctorCommand } from './doctor.ts'
import { addEvalCommand } from './eval.ts'
import { addExportCommand } from './export.ts'
import { addGenerateCommand } from './generate.ts'
import { InterruptedError } from './interrupts.ts'
import { addLogProbsCommand } from './logprobs.ts'
import { describeError, exitCodes, isClosedPipe, note, outputError, UsageError } from './output.ts'
import { addPullCommand } from './pull.ts'
import { addReportCommand } from './report.ts'
import { addResumeCommand } from './resume.ts'
import { addRewardCommand } from './reward.ts'
import { addSetupCommand } from './setup.ts'
import { addTrainCommand } from './train.ts'
import { addWatchCommand } from './watch.ts'

/**
 * Runs one command; results go to stdout, everything else to stderr.
 *
 * @param argv as `process.argv`
 * @returns exit code: 0, 1 for an error, 2 for a command line that cannot be understood, 130 after Ctrl-C, 141 where nobody reads on,
 *   143 after SIGTERM
 */
export async function main(argv: string[]): Promise<number> {
  // They stay: what was written last fails after the command has ended.
  for (const [stream, listener] of [
    [process.stdout, leaveOnFailure],
    [process.stderr, ignoreFailure],
  ] as const)
    if (!stream.listeners('error').includes(listener)) stream.on('error', listener)
  process.on('exit', failIfLeft)
  const words = argv.slice(2)
  try {
    checkWorkingFolder()
    const program = await createProgram(words)
    checkOptionNames(await createProgram(words), words)
    await program.parseAsync(argv)
    return Number(process.exitCode ?? exitCodes.ok)
  } catch (error) {
    // An input that nobody reads any more must not keep the process alive.
    process.stdin.destroy()
    return report(error)
  } finally {
    process.off('exit', failIfLeft)
    await leaveRanks()
  }
}

/** @param words of the command line */
async function createProgram(words: readonly string[]): Promise<Command> {
  const program = new Command('magrpo')
    .description('Train teams of language models to work together.')
    .version(await packageVersion())
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      `
Examples:
  magrpo demo                                   train the built-in team and watch it agree
  magrpo train examples/story.yaml              train what a configuration says
  magrpo watch                                  see runs live in the browser
  magrpo resume runs/story                      go on with a run that was interrupted
  magrpo eval runs/story                        score a trained team on held-out items
  magrpo doctor                                 what every bug report asks for

Results go to standard output, everything else to standard error. Exit codes: 0, 1 error, 2 wrong usage, 130 interrupted.`,
    )
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'magrpo: ')) })
  addDemoCommand(program)
  addTrainCommand(program)
  addResumeCommand(program)
  addWatchCommand(program)
  addReportCommand(program)
  addEvalCommand(program)
  addCompareCommand(program)
  addPullCommand(program)
  addExportCommand(program)
  addGenerateCommand(program)
  addLogProbsCommand(program)
  await addRewardCommand(program, words)
  addDoctorCommand(program)
  addSetupCommand(program)
  // What commander prints and throws for wrong usage is settled in one place, for every command.
  for (const command of program.commands) command.copyInheritedSettings(program)
  return program
}

/**
 * Refuses options that a command does not have. Commander looks for missing options first, and so says of a misspelt one that is
 * required only that it is missing.
 *
 * @param program one that is not used for anything else: parsing leaves values behind
 */
function checkOptionNames(program: Command, [name, ...rest]: string[]): void {
  const command = program.commands.find((each) => each.name() === name)
  if (command === undefined || rest.some((word) => word === '-h' || word === '--help')) return
  const unknown = command.parseOptions(rest).unknown.find((word) => /^--?[a-z]/i.test(word))
  if (unknown === undefined) return
  const [flag] = unknown.split('=') as [string]
  const known = command.options.flatMap(({ long }) => long ?? [])
  const near = nearest(flag, known)
  throw new UsageError(`unknown option '${flag}'${near === undefined ? '' : ` (Did you mean ${near}?)`}`)
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  if (error instanceof InterruptedError) {
    note(`magrpo: ${error.message}`)
    // A reward or tracker may have left something running that would keep the process alive.
    setTimeout(() => process.exit(error.exitCode), 1000).unref()
    return error.exitCode
  }
  note(describeError(error))
  return error instanceof UsageError ? exitCodes.usage : exitCodes.error
}

/**
 * `magrpo … | head` ends quietly: who reads the output has enough of it. A training has a listener of its own, and stops first; so
 * has what is written by `printLine`, whose error ends the command.
 */
function leaveOnFailure(error: NodeJS.ErrnoException): void {
  if (process.stdout.listenerCount('error') > 1) return
  process.off('exit', failIfLeft)
  if (isClosedPipe(error)) process.exit(process.exitCode ?? exitCodes.ok)
  process.exit(report(outputError(error)))
}

/** What nobody reads need not be said, and what has no space cannot be. */
function ignoreFailure(): void {}

/** A reward, task or tracker that calls `process.exit()` in the middle of a command: what was asked for has not been done. */
function failIfLeft(code: number): void {
  if (code !== exitCodes.ok) return
  note('magrpo: code that was loaded (a reward, a task or a tracker) ended the process with process.exit().')
  process.exitCode = exitCodes.error
}
