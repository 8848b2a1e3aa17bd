import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { expectInstance, expectObject } from '../base/arguments.ts'
import { abortSignal, callback, flag, handles, text } from '../base/fields.ts'
import { resolve, section } from '../base/validate.ts'
import { loadAddon } from '../native/load-addon.ts'
import type { Run } from '../rl/run.ts'
import { Team } from '../rl/team/team.ts'
import type { TrainOptions } from '../rl/train-options.ts'
import type { RunSink } from '../rl/types/sink.ts'
import { type CheckpointOptions, checkpointShape } from '../run/checkpoint-options.ts'
import { recordEnvironment, restoreThreads } from '../run/environment.ts'
import { RunFolder } from '../run/run-folder.ts'
import { runInfoFile } from '../run/run-info.ts'
import type { Tracker } from '../track/tracker.ts'
import { assemble, type RecordOptions } from './assemble.ts'
import { createRunFolder } from './create-run-folder.ts'

/** What {@link train} takes. */
export interface RecordedTrainOptions<Item = unknown> extends TrainOptions<Item>, CheckpointOptions {
  /** Folder the run is recorded in, made when it begins: see `RunRecorder`. Defaults to none. */
  runDir?: string
  /**
   * Go on with the run that `runDir` holds, where its newest checkpoint stands; begin one where it holds none. Team, task and options
   * are to be those the run began with. Defaults to `false`: a run that is there already is an error.
   */
  resume?: boolean
  /** Where metrics go besides the run folder; an error of one is a warning. Defaults to none. */
  trackers?: readonly Tracker[]
  /**
   * Takes what a person should know of a run that is resumed, such as a damaged checkpoint or another machine, and warnings of trackers
   * and of the report if no sink has `onWarning`; without it the latter are warnings of the process.
   */
  onWarning?(message: string): void
}

/** What `train` takes for itself; the rest is looked at where the run is resolved. */
const recordSection = section({
  ...checkpointShape,
  runDir: text().optional(),
  resume: flag(),
  onWarning: callback(),
  sinks: handles<RunSink>('sinks').optional(),
  signal: abortSignal(),
  trackers: handles<Tracker>('trackers').optional(),
})

/**
 * Trains a team on a task, and records the run in `runDir` where one is given.
 *
 * Nothing happens until the run is iterated or its `result` is read:
 *
 * ```ts
 * for await (const step of train(options)) console.log(step.index, step.metrics['reward/mean'])
 * ```
 *
 * The iteration rejects with `ERR_RUN_EXISTS` if `runDir` holds something already, with `ERR_RUN_LOCKED` if another process works on
 * it, and with `resume` with `ERR_CHECKPOINT` if its checkpoints cannot be used or the options are others than they were.
 *
 * @throws ConfigError or MagrpoError `ERR_TASK` at once, for options that are out of range or do not fit each other
 */
export function train<Item>(options: RecordedTrainOptions<Item>): Run {
  expectObject(options, 'options of train')
  expectInstance(options.team, Team, 'team of train')
  const { runDir, resume = false, checkpointEvery, keepCheckpoints, onWarning, ...others } = options
  const { sinks, signal, trackers } = others
  const own = { runDir, resume, checkpointEvery, keepCheckpoints, onWarning, sinks, signal, trackers }
  resolve(recordSection, own, 'The configuration of the run')
  if (runDir === undefined) return assemble({ ...others, name: 'run', onWarning }).run
  const record: RecordOptions = {
    path: runDir,
    checkpointEvery,
    keepCheckpoints,
    open: () => openFolder(runDir, resume, onWarning),
    onResolved: (resolved, folder) => folder.writeConfig(resolved),
  }
  return assemble({ ...others, name: basename(runDir), onWarning, record }).run
}

/** The folder of a run that a program begins, or goes on with if it is there and may be. */
async function openFolder(path: string, mayResume: boolean, onWarning?: (message: string) => void): Promise<RunFolder> {
  const isThere = mayResume && existsSync(join(path, runInfoFile))
  const folder = isThere ? await RunFolder.resume(path) : await createRunFolder(path, { origin: 'code' })
  try {
    await restoreThreads(folder, loadAddon)
    await recordEnvironment(folder, { ...loadAddon().info() }, onWarning)
    return folder
  } catch (error) {
    await folder.release()
    throw error
  }
}
