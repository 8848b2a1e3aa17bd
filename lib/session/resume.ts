import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectText } from '../base/arguments.ts'
import { abortSignal, callback, handles, unfilled } from '../base/fields.ts'
import { type FieldsOf, resolve, section } from '../base/validate.ts'
import { ranksOfProcess } from '../ranks/process-ranks.ts'
import type { Run } from '../rl/run.ts'
import type { Team } from '../rl/team/team.ts'
import type { RunEnd, RunSink } from '../rl/types/sink.ts'
import { checkpointShape } from '../run/checkpoint-options.ts'
import { runFiles } from '../run/run-folder.ts'
import { type RunInfo, readRunInfo } from '../run/run-info.ts'
import type { Task } from '../tasks/task/types.ts'
import { type PrepareResumeOptions, prepareResume } from './prepare-run.ts'

/** Settings of {@link resume}. */
export type ResumeOptions = PrepareResumeOptions

const resumeSection = section({
  // Without their defaults, which are those of the run.
  ...unfilled(checkpointShape),
  ...({
    sinks: handles<RunSink>('sinks').optional(),
    signal: abortSignal(),
    onWarning: callback<(message: string) => void>(),
    onProgress: callback<(what: string) => void>(),
  } satisfies FieldsOf<Omit<ResumeOptions, keyof typeof checkpointShape>>),
})

/** A run that goes on. */
export interface ResumedRun {
  /** Begins after the last step of its newest checkpoint; of a finished run no step is left. */
  run: Run
  team: Team
  task: Task
  /** Frees task, team, models and the run folder; to be called when the run has ended. */
  dispose(): Promise<void>
  /** What `await using` calls: `dispose()`. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Goes on with a run of `magrpo train`, from the newest checkpoint in its folder that is whole, or from the beginning where there is
 * none. Its weights, `metrics.jsonl` and `samples.jsonl` become, byte for byte, those of a run that was never interrupted.
 *
 * A run that a program began with `train()` is resumed by the same call with `resume: true`.
 *
 * ```ts
 * await using resumed = await resume('runs/story')
 * for await (const step of resumed.run) console.log(step.index, step.metrics['reward/mean'])
 * ```
 *
 * @throws MagrpoError `ERR_RUN` if there is no such run, `ERR_RUN_VERSION`, `ERR_RUN_LOCKED`; what making the task and loading the
 *   models throws. The iteration rejects with `ERR_CHECKPOINT` or `ERR_DATA` if what the folder holds cannot be gone on from.
 */
export async function resume(runDir: string, options: ResumeOptions = {}): Promise<ResumedRun> {
  expectText(runDir, 'runDir of resume')
  const { run, task, loaded, dispose } = await prepareResume(
    runDir,
    resolve(resumeSection, options, 'The options of resume'),
  )
  return { run, task, team: loaded.team, dispose, [Symbol.asyncDispose]: dispose }
}

/** How a run ended, as `result.json` has it. */
export type RecordedResult = Pick<RunEnd, 'reason' | 'steps' | 'seconds'>

/** What is known of a run before it is resumed. */
interface RunLook {
  info: RunInfo
  /** Of a run that has no steps left. */
  finished?: RecordedResult
  /** Where the process works that looked. */
  cwd: string
}

/**
 * Looks at a run. Ranks above 0, which need not see its folder, hear of it from rank 0.
 *
 * @throws MagrpoError as `readRunInfo`
 */
export async function lookAtRun(runDir: string): Promise<RunLook> {
  const ranks = ranksOfProcess()
  await ranks?.join()
  const isFollowing = ranks !== null && ranks.place.rank > 0
  const own = isFollowing
    ? null
    : { info: await readRunInfo(runDir), finished: await finishedResult(runDir), cwd: process.cwd() }
  return ranks === null ? own! : (await ranks.gather('look', own))[0]!
}

/**
 * The result of a run that is over, or undefined for one that has steps left.
 *
 * @throws MagrpoError as `readRunInfo`
 */
export async function finishedResult(runDir: string): Promise<RecordedResult | undefined> {
  await readRunInfo(runDir)
  try {
    const result = JSON.parse(await readFile(join(runDir, runFiles.result), 'utf8')) as RecordedResult
    return result.reason === 'finished' ? result : undefined
  } catch {
    return undefined
  }
}
